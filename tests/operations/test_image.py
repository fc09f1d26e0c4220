"""What the Dockerfile says, as `tools/image.py` reads it; `make image` builds and starts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import image

from crosslight.cli import app
from tests.test_commands_of_pages import parsed_only

ROOT = Path(__file__).parents[2]
READ = image.read((ROOT / "Dockerfile").read_text())


def test_it_runs_a_command_that_is_taken_as_a_user_of_its_own() -> None:
    assert READ.user == "crosslight"
    assert READ.entrypoint == ["crosslight"]
    parsed_only(app).cli(prog="crosslight", args=READ.command)
    assert READ.command[READ.command.index("--port") + 1] == image.PORT
    assert f"127.0.0.1:{image.PORT}/health" in READ.health[-1]


def test_only_its_user_writes_the_gallery_and_the_compiled_code() -> None:
    (made,) = (rest.split() for word, rest in READ.steps if rest.startswith("install --directory"))
    assert made[2:8] == ["--owner", READ.user, "--group", READ.user, "--mode", "700"]
    assert made[8:] == [*image.OWNED]
    assert READ.env["NUMBA_CACHE_DIR"] in image.OWNED


def test_what_it_copies_is_sent_and_nothing_else() -> None:
    names = {str(path) for path in image.sent((ROOT / ".dockerignore").read_text(), ROOT)}
    words = [rest.split() for word, rest in READ.steps if word == "COPY" and "--from" not in rest]
    copied = {source for *sources, _ in words for source in sources}
    assert copied == {"requirements.lock", "pyproject.toml", "README.md", "LICENSE", "src"}
    assert copied - {"src"} == {name for name in names if not name.startswith("src/")}
    assert "src/crosslight/cli/__init__.py" in names
    assert not any("__pycache__" in name for name in names)


def test_an_unknown_instruction_is_told() -> None:
    with pytest.raises(image.StepError, match="SHELL is not known here"):
        image.read('FROM x\nSHELL ["bash"]\n')
