import dataclasses
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import crosslight
from crosslight import cli
from crosslight.cli.repeats import BY_COMMAND
from crosslight.cli.shares import share_from
from crosslight.drawing.options import Swapping
from crosslight.errors import ConfigError
from crosslight.evaluation.scoring import Scoring
from crosslight.experiments.options import (
    Ablating,
    Evaluating,
    Exporting,
    Filling,
    Probing,
    Refining,
)
from crosslight.gallery.options import (
    Asking,
    Calibrating,
    Comparing,
    Labels,
    Live,
    Proposing,
    Watching,
    Where,
    WhereOrWho,
)
from crosslight.gallery.service.settings import Address, Allowed
from crosslight.training.machines import Machines

# Users' scripts depend on these names; a change here is a change for them.
COMMANDS = {
    ("data", "make", "promenade"),
    ("data", "check"),
    ("data", "show"),
    ("demo",),
    ("recipes",),
    ("train",),
    ("export",),
    ("import",),
    ("evaluate",),
    ("score",),
    ("swap",),
    ("ablate",),
    ("leaderboard",),
    ("translate",),
    ("report",),
    *(
        ("gallery", name)
        for name in (
            *("create", "add", "search", "same", "list", "remove"),
            *("stats", "optimize", "copy", "calibrate"),
            *("people", "label", "person", "camera", "merge", "split", "apart"),
            *("propose", "mark", "marks"),
        )
    ),
    ("serve",),
    *(("users", name) for name in ("add", "remove", "list")),
}
HEAVY = {"torch", "numpy", "polars", "PIL", "matplotlib", "scipy", "lancedb", "fastapi", "av"}
TRAIN_FLAGS = {"--data", "--out", "--trial", "--set", "--accelerator", "--devices", "--nodes"}

SCORE_FLAGS = {
    *("--protocol", "--distance", "--sampler", "--permutations", "--average-precision", "--json"),
    *("--rerank", "--k1", "--k2", "--share", "--expand", "--block"),
}


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<!-)--[a-z][a-z0-9-]*", text)) - {"--help"}


def as_process(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """A command as a user runs it: streams, encodings and the end of the process are real."""
    options = {"stdout": subprocess.PIPE, "encoding": "utf-8", "errors": "strict", **options}
    return subprocess.run(
        [sys.executable, "-m", "crosslight", *arguments],
        stderr=subprocess.PIPE,
        check=False,
        **options,
    )


@pytest.mark.parametrize("command", sorted(COMMANDS), ids=" ".join)
def test_every_command_has_help(capsys, command):
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0
    assert "usage: crosslight" in out


def test_the_flags_of_train_are_frozen(capsys):
    _, out, _ = run(capsys, "train", "--help")
    assert flags(out) == TRAIN_FLAGS


def test_the_flags_of_import_are_frozen(capsys):
    _, out, _ = run(capsys, "import", "--help")
    assert flags(out) == {"--out", "--set"}


def test_the_flags_of_score_are_frozen_and_its_help_names_the_files(capsys):
    _, out, _ = run(capsys, "score", "--help")
    assert flags(out) == SCORE_FLAGS
    assert {".npz", ".npy", ".csv", ".parquet"} <= set(re.findall(r"\.[a-z]+\b", out))


OPTIONS = {
    "train": Machines,
    "evaluate": (Evaluating, Refining),
    "export": Exporting,
    "score": (Scoring, Refining),
    "ablate": Ablating,
    "leaderboard": Filling,
    "probe": Probing,
    "swap": Swapping,
    "gallery add": (Labels, Watching),
    "gallery watch": Live,
    "gallery search": (Asking, Where),
    "gallery same": Comparing,
    "gallery list": WhereOrWho,
    "gallery remove": WhereOrWho,
    "gallery label": WhereOrWho,
    "gallery propose": (WhereOrWho, Proposing),
    "gallery calibrate": Calibrating,
    "serve": (Address, Allowed),
}
NAMED = {"protocols": "protocol", "overrides": "set"}


@pytest.mark.parametrize("command", OPTIONS)
def test_options_of_a_room_are_flags_with_the_same_defaults(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "1000")
    _, out, _ = run(capsys, *command.split(), "--help")
    kinds = OPTIONS[command] if isinstance(OPTIONS[command], tuple) else (OPTIONS[command],)
    for field in (field for kind in kinds for field in dataclasses.fields(kind)):
        flag = NAMED.get(field.name, field.name.replace("_", "-"))
        entry = rf"^[^\w\n]*--{flag}[ ,].*?\((default: [^)]*|repeatable)\)"
        (told,) = re.findall(entry, out, flags=re.DOTALL | re.MULTILINE)
        default = field.default
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
        assert told in (f"default: {shown}", "repeatable")


NUMBERS = [
    *((("demo",), flag) for flag in ("--seed", "--workers")),
    *((("train", "demo", "--data", "x", "--out", "y"), f) for f in ("--devices", "--nodes")),
    *((("train", "demo", "--data", "x", "--out", "y"), f) for f in ("--trial",)),
    *((("evaluate", "run", "--data", "x"), f) for f in ("--workers", "--trial", "--expand")),
    *(
        (("score", "x.npz", "--protocol", "market1501", "--rerank"), flag)
        for flag in ("--k1", "--k2", "--share", "--expand", "--block")
    ),
    *((("ablate", "agw", "--data", "x", "--out", "y"), f) for f in ("--images", "--trial")),
    (("ablate", "agw", "--data", "x", "--out", "y"), "--seeds"),
    *(
        (("leaderboard", "x"), flag)
        for flag in ("--seeds", "--images", "--height", "--width", "--rates", "--try-share")
    ),
    (("leaderboard", "x"), "--trial"),
    *((("swap", "run"), flag) for flag in ("--interpolate", "--limit", "--trial")),
    (("translate", "run", "--images", "x", "--to", "visible", "--out", "y"), "--rows"),
    *(
        (("data", "make", "promenade", "d"), flag)
        for flag in ("--height", "--width", "--seed", "--workers")
    ),
    (("data", "check", "sysu-mm01", "d"), "--trial"),
    *((("data", "show", "d"), flag) for flag in ("--people", "--seed")),
]


@pytest.mark.parametrize(("command", "flag"), NUMBERS, ids=lambda part: part[-1])
def test_a_number_below_its_range_is_refused_before_anything_else(
    capsys, monkeypatch, tmp_path, command, flag
):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *command, flag, "-1")
    assert code == 1
    assert err.startswith("crosslight: ")
    assert "-1" in err
    assert "expected" in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "share"), [("0.05", 0.05), ("5%", 0.05), ("0.1 %", 0.001)])
def test_a_share_may_be_percent(text: str, share: float) -> None:
    assert share_from(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["five", "5 percent", "%", "5%5", "0,05", "5%%", ""])
@pytest.mark.parametrize(
    "command",
    [
        ("gallery", "search", "s", "q.jpg", "--false-alarms"),
        ("gallery", "same", "s", "a.jpg", "b.jpg", "--prior"),
        ("gallery", "calibrate", "s", "--data", "x", "--false-match-rate"),
        ("gallery", "calibrate", "s", "--data", "x", "--prior"),
    ],
    ids=lambda command: " ".join((command[1], command[-1])),
)
def test_what_is_no_share_is_a_sentence(capsys, command: tuple[str, ...], text: str) -> None:
    code, out, err = run(capsys, *command, text)
    assert (code, out) == (1, "")
    assert err == (
        f"crosslight: {text!r} is no share; give a number between 0 and 1, like 0.05, or percent, "
        "like 5%.\n"
    )


def test_an_impossible_block_is_refused(capsys):
    code, _, err = run(capsys, "score", "f.npz", "--protocol", "market1501", "--block", "0")
    assert code == 1
    assert err.startswith("crosslight: The block is 0 queries, expected at least 1.")


def test_a_number_of_the_reranking_needs_the_reranking(capsys):
    code, _, err = run(capsys, "score", "f.npz", "--protocol", "market1501", "--share", "0.5")
    assert (code, err) == (
        1,
        "crosslight: --share is a number of the re-ranking; add --rerank.\n",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("gallery", "remove", "s", "--camera", "1", "--camera", "2"),
        ("gallery", "search", "s", "q.jpg", "--top=3", "--top", "5"),
        ("score", "f.npz", "--protocol", "market1501", "--protocol", "msmt17"),
        ("leaderboard", "b", "--only_table", "--only-table"),
    ],
)
def test_a_flag_given_twice_is_refused_where_its_first_value_would_be_lost(capsys, arguments):
    code, _, err = run(capsys, *arguments)
    assert code == 1
    assert err.startswith("crosslight: --")
    assert "is given 2 times" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_only_a_flag_that_collects_its_values_may_be_given_twice(capsys, command):
    with pytest.raises(SystemExit):
        cli.main([*command, "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    described = re.split(r" (?=--[a-z])", text)
    collects = {part.split()[0] for part in described if "(repeatable)" in part}
    assert collects == (({"--set"} & set(text.split())) | BY_COMMAND.get(" ".join(command), set()))


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from crosslight import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            ("gallery", "add", "s", "photos", flag, "-1")
            for flag in ("--workers", "--crops", "--every", "--detector-threshold")
        ),
        ("gallery", "add", "s", "photos", "--deep-range", "9", "3"),
        ("gallery", "add", "s"),
        *(
            ("gallery", "watch", "s", "0", flag, "-1")
            for flag in ("--crops", "--every", "--detector-threshold")
        ),
        ("gallery", "search", "s", "q.jpg", "--false-alarms", "few"),
    ],
    ids=lambda words: " ".join(words[1:2] + words[4:5]),
)
def test_a_flag_of_the_gallery_is_checked_before_a_model_is_thought_of(arguments):
    code = (
        "import sys; from crosslight import cli\n"
        f"try: cli.main({list(arguments)!r})\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'lancedb', 'av'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
    assert said.stderr.startswith("crosslight: ")


@pytest.mark.parametrize("command", ["gallery.add", "gallery.search", "serve", "evaluate"])
def test_what_only_trainings_need_is_loaded_by_no_other_command(command: str) -> None:
    code = (
        f"import sys, crosslight.commands.{command}; "
        "print(sorted({'lightning_fabric', 'torchmetrics'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "crosslight", "report", "no-such-run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "no-such-run" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_can_be_asked_for(capsys):
    for flag in ("--version", "-V"):
        cli.main([flag])
        assert capsys.readouterr().out == f"crosslight {crosslight.__version__}\n"
    _, out, _ = run(capsys, "--help")
    assert "--version" in out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_table_is_printed_in_any_encoding(tmp_path, encoding):
    rng, pids, cams = np.random.default_rng(0), np.repeat(np.arange(1, 5), 6), [1, 3] * 12
    np.savez(
        tmp_path / "x.npz", feats=rng.normal(size=(24, 4)), pids=pids,
        cams=cams, modality=np.tile([0, 1], 12),
        paths=[f"cam{c}/{p}/{i}.jpg" for i, (p, c) in enumerate(zip(pids, cams, strict=True))],
    )  # fmt: skip
    said = as_process(
        "score", str(tmp_path / "x.npz"), "--protocol", "sysu-mm01/all/1",
        "--json", str(tmp_path / "x.json"),
        env={**os.environ, "PYTHONIOENCODING": encoding}, encoding=encoding,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert ("±" if encoding != "ascii" else "\\xb1") in said.stdout
    assert (tmp_path / "x.json").is_file()


def test_a_name_that_is_no_text_is_printed(tmp_path):
    name = os.fsdecode(os.fsencode(str(tmp_path)) + b"/Zo\xe9.npz")
    said = as_process("score", name, "--protocol", "market1501")
    assert said.returncode == 1
    assert said.stderr.startswith("crosslight: ")
    assert "Zo\\udce9" in said.stderr


@pytest.mark.parametrize("arguments", [["recipes"], ["--help"], ["recipes", "demo"]])
def test_a_closed_pipe_ends_a_command_quietly(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    said = as_process(*arguments, stdout=writing)
    os.close(writing)
    assert said.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a full disk of Linux")
def test_output_to_a_full_disk_is_a_sentence():
    with Path("/dev/full").open("w") as full:
        said = as_process("recipes", stdout=full)
    assert said.returncode == 1
    assert said.stderr.startswith("crosslight: No space left on the disk")
    assert said.stderr.count("\n") == 1


def test_a_mistake_is_one_sentence_on_stderr(capsys):
    code, out, err = run(capsys, "train", "demos", "--data", "sysu-mm01:nowhere", "--out", "x")
    assert code == 1
    assert out == ""
    assert err.startswith("crosslight: No recipe 'demos'")
    assert "did you mean 'demo'?" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ConfigError("wrong"), 1, "wrong"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "full"), 1, "No space left"),
        (OSError(errno.EMFILE, "Too many open files", "/x/y.py"), 1, "(/x/y.py); end other"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y.json"), 1, "/x/y.json cannot be"),
        (OSError(errno.EIO, "Input/output error"), 1, "Input/output error"),
    ],
)
def test_what_ends_a_command(capsys, monkeypatch, error, code, sentence):
    def fail(**_):
        raise error

    monkeypatch.setattr(cli.app, "cli", fail)
    left, _, err = run(capsys, "recipes")
    assert left == code
    assert sentence in err


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch):
    def fail(**_):
        raise ZeroDivisionError

    monkeypatch.setattr(cli.app, "cli", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main([])
