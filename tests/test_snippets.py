"""Every Python snippet of the documentation runs as written, in the order of its page."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crosslight as cl
from crosslight import cli
from crosslight.data.promenade import make
from crosslight.experiments.leaderboard import leaderboard
from crosslight.experiments.options import Filling
from tests.commands.test_swap import RECIPE as DGNET

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"))
    if "```python\n" in page.read_text(encoding="utf-8")
)
ELSEWHERE = {'"/data/RegDB"': '"regdb"'}


def snippets(page: Path) -> list[str]:
    found = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found


@pytest.fixture
def names(tmp_path: Path, trained: Path, promenade: Path, monkeypatch) -> dict[str, Any]:
    """A folder with what the pages speak of, and the names that they take as given."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "runs/agw")
    Path("mine.yaml").write_text((trained / "config.yaml").read_text())
    Path("names.csv").write_text("path,pid\na.jpg,Ann\nb.png,Bob\n")
    make(Path("regdb"), preset="tiny", layout="regdb", height=32, width=16, progress=False)
    table = cl.read_layout("sysu-mm01", promenade).split("test")
    for name, row in (("a.jpg", 0), ("b.png", 20)):
        shutil.copy(table.paths[row], name)
    cli.main(["gallery", "create", "people.exact", "--model", "runs/agw"])
    cli.main(["gallery", "add", "people.exact", "a.jpg", "b.png"])
    generator = np.random.default_rng(0)
    feats = generator.standard_normal((len(table), 8)).astype(np.float32)
    half = np.where(np.arange(len(table)) % 2 == 0, "query", "gallery")
    features = cl.Features(
        feats=feats, pids=table.pids, cams=table.cams, modality=table.modality, split=half
    )
    protocol = cl.get_protocol("any-camera")
    return {
        "features": features,
        "feats": feats,
        "x": generator.standard_normal((60, 8)),
        "table": table,
        "pids": table.pids,
        "cams": table.cams,
        "modality": table.modality,
        "split": half,
        "result": protocol.evaluate(features),
        "chance": protocol.chance(features),
    }


@pytest.fixture(scope="module")
def dgnet(tmp_path_factory, promenade: Path) -> Path:
    folder = tmp_path_factory.mktemp("dgnet")
    (folder / "dgnet.yaml").write_text(DGNET)
    return cl.fit(
        folder / "dgnet.yaml", f"sysu-mm01:{promenade}", folder / "run", progress=False
    ).path


@pytest.fixture(scope="module")
def board(tmp_path_factory, promenade: Path, recipe: Path) -> Path:
    folder = tmp_path_factory.mktemp("board") / "board"
    how = Filling(systems=(str(recipe),), seeds=(0,), images=16)
    rows = list(leaderboard(folder, [f"sysu-mm01:{promenade}"], how))
    assert [row.fault for row in rows if row.state == "done"] == [None, None]
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_snippets_of_a_page_run_in_order(
    page: Path, names: dict[str, Any], dgnet: Path, board: Path
):
    shutil.copytree(dgnet, "runs/dgnet")
    shutil.copytree(board, "board")
    for number, snippet in enumerate(snippets(page), start=1):
        for absent, there in ELSEWHERE.items():
            snippet = snippet.replace(absent, there)
        exec(compile(snippet, f"{page.name}, snippet {number}", "exec"), names)


def test_the_pages_have_snippets() -> None:
    assert len(PAGES) >= 5
