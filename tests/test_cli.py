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


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


@pytest.mark.parametrize("command", sorted(COMMANDS), ids=" ".join)
def test_every_command_has_help(capsys, command):
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0
    assert "usage: crosslight" in out


def test_the_flags_of_train_are_frozen(capsys):
    _, out, _ = run(capsys, "train", "--help")
    assert set(re.findall(r"(?<!-)--[a-z][a-z-]*", out)) - {"--help"} == TRAIN_FLAGS


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from crosslight import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip().endswith("[]")


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
