"""Pages that a reader follows run as written, on a smaller Promenade and for fewer epochs."""

import re
import shlex
from pathlib import Path

import pytest

from crosslight import cli

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FOLLOWED = {
    README: ("runs/agw/report.html", "swap.png"),
    ROOT / "docs" / "ten-minutes.md": ("found.png", "runs/agw/report.html"),
    ROOT / "docs" / "train.md": ("runs/agw/model.safetensors", "runs/agw-2/model.safetensors"),
}
"""Page → what its commands leave."""
SMALLER = {
    "--height 128 --width 64": "",
    "--preset mini": "--preset tiny --height 64 --width 32 --workers 1",
}
SHORT_DATA = (
    *("--set", "data.iterations_per_epoch=1", "--set", "data.ids_per_batch=4"),
    *("--set", "data.workers=0"),
)
SHORTER = {
    "agw-promenade": ("--set", "config.epochs=1"),
    "dgnet-promenade": (
        *("--set", "config.teacher_iterations=1", "--set", "config.iterations=1"),
        *("--set", "config.backbone=resnet10-quarter"),
    ),
}


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = (line.strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line.startswith("crosslight ")]


@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.stem)
def test_the_commands_of_a_page_work_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(commands(page)) >= 4
    for command in commands(page):
        for longer, shorter in SMALLER.items():
            command = command.replace(longer, shorter)
        arguments = shlex.split(command)[1:]
        if arguments[0] == "train":
            arguments += [*SHORTER[arguments[1]], *SHORT_DATA]
        cli.main(arguments)
    assert [left for left in FOLLOWED[page] if not (tmp_path / left).exists()] == []


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "docs"])
def test_the_makefile_has_the_targets_that_are_promised(target):
    assert re.search(rf"^{target}:", (README.parent / "Makefile").read_text(), re.MULTILINE)


def test_every_link_and_picture_is_there():
    for target in re.findall(r"\]\(([^)#]+)", README.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (README.parent / target).exists(), target
