"""The command line takes every command that a page shows, whether or not a test runs it."""

import functools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tyro.extras import SubcommandApp

from crosslight.cli import app
from crosslight.cli.repeats import refuse_repeats

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
LEFT_OUT = "..."
"""Stands in a page for arguments that are said elsewhere."""


def parsed_only(given: SubcommandApp) -> SubcommandApp:
    """The same command line, whose commands do nothing."""
    silent = SubcommandApp()
    for name, command in given._subcommands.items():
        target: Any = command.target
        if isinstance(target, SubcommandApp):
            silent.command(parsed_only(target), name=name)
        else:
            silent.command(functools.wraps(target)(lambda *_, **__: None), name=name)
    return silent


def commands(page: Path) -> list[str]:
    fences = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
    blocks = fences.findall(page.read_text(encoding="utf-8"))
    text = "".join(block for language, block in blocks if language in {"", "sh"})
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("crosslight ")]


SHOWN = [(page, command) for page in PAGES for command in commands(page)]


def test_pages_show_commands_and_a_wrong_one_is_noticed() -> None:
    assert len(SHOWN) >= 60
    for wrong in (["train", "agw-promenade", "--dta", "x"], ["galery", "create", "people.lance"]):
        with pytest.raises(SystemExit):
            parsed_only(app).cli(prog="crosslight", args=wrong)


@pytest.mark.parametrize("page", sorted({page for page, _ in SHOWN}), ids=lambda page: page.stem)
def test_the_command_line_takes_what_a_page_shows(page: Path, capsys) -> None:
    silent = parsed_only(app)
    for command in (command for where, command in SHOWN if where == page):
        words = shlex.split(command, comments=True)[1:]
        if LEFT_OUT in words:
            continue
        refuse_repeats(words)
        try:
            silent.cli(prog="crosslight", args=words)
        except SystemExit:
            pytest.fail(f"{page.name}: {command}\n{capsys.readouterr()}")
