import errno
import re
import subprocess
import sys

import pytest

from crosslight import cli
from crosslight.errors import ConfigError

# Users' scripts depend on these names; a change here is a change for them.
COMMANDS = {
    ("data", "make", "promenade"),
    ("data", "check"),
    ("data", "show"),
    ("demo",),
    ("recipes",),
    ("train",),
    ("evaluate",),
    ("score",),
    ("swap",),
    ("ablate",),
    ("translate",),
    ("report",),
    *(
        ("gallery", name)
        for name in (
            *("create", "add", "search", "list", "remove"),
            *("stats", "optimize", "copy", "calibrate"),
        )
    ),
    ("serve",),
}
HEAVY = {"torch", "numpy", "polars", "PIL", "matplotlib", "scipy", "lancedb", "fastapi", "av"}
TRAIN_FLAGS = {"--data", "--out", "--trial", "--set", "--accelerator", "--devices", "--nodes"}

SCORE_FLAGS = {
    *("--protocol", "--distance", "--sampler", "--permutations", "--average-precision", "--json"),
    *("--rerank", "--k1", "--k2", "--share", "--expand", "--block", "--screening", "--bound"),
}


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<!-)--[a-z][a-z0-9-]*", text)) - {"--help"}


@pytest.mark.parametrize("command", sorted(COMMANDS), ids=" ".join)
def test_every_command_has_help(capsys, command):
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0
    assert "usage: crosslight" in out


def test_the_flags_of_train_are_frozen(capsys):
    _, out, _ = run(capsys, "train", "--help")
    assert flags(out) == TRAIN_FLAGS


def test_the_flags_of_score_are_frozen_and_its_help_names_the_files(capsys):
    _, out, _ = run(capsys, "score", "--help")
    assert flags(out) == SCORE_FLAGS
    assert {".npz", ".npy", ".csv", ".parquet"} <= set(re.findall(r"\.[a-z]+\b", out))


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


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from crosslight import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip().endswith("[]")


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


def test_a_mistake_is_one_sentence_on_stderr(capsys):
    code, out, err = run(capsys, "train", "demos", "--data", "sysu-mm01:nowhere", "--out", "x")
    assert code == 1
    assert out == ""
    assert err.startswith("crosslight: No recipe 'demos'; did you mean 'demo'?")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ConfigError("wrong"), 1, "wrong"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "full"), 1, "No space left"),
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
