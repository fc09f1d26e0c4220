"""An installation without extras trains and scores, and names what it lacks for the rest."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import numpy as np
import pytest

from crosslight.gallery.stores.description import write_description
from crosslight.parts import EXTRAS
from tests.gallery.rows import INFO

BARE = """
import sys
from importlib.machinery import PathFinder

class WithoutExtras(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.partition(".")[0] in {modules!r}
        return None if absent else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutExtras
"""
COMMAND = "from crosslight import cli\ncli.main(sys.argv[1:])\n"
NOTEBOOK = """
import crosslight as cl
from crosslight.errors import MissingPartError
from crosslight.gallery.video.frames import frames_of
from pathlib import Path

frames = frames_of(Path("a.mp4"), every_s=1)
for ask in (lambda: cl.open_gallery(sys.argv[1]), lambda: next(frames)):
    try:
        ask()
    except MissingPartError as error:
        print(error)
"""


def bare(*arguments: object, what: str = COMMAND) -> subprocess.CompletedProcess[str]:
    """Runs a command, or lines of Python, as if none of the extras were installed."""
    code = BARE.format(modules=set(EXTRAS)) + what
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def features(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    path = tmp_path / "features.npz"
    np.savez(
        path,
        feats=generator.standard_normal((40, 8)),
        pids=np.arange(40) % 10,
        cams=np.arange(40) // 20,
        split=np.array(["query"] * 20 + ["gallery"] * 20),
    )
    return path


def test_scoring_needs_no_extra(features: Path) -> None:
    ran = bare("score", features, "--protocol", "market1501")
    assert ran.returncode == 0, ran.stderr
    assert "market1501" in ran.stdout


def test_training_and_evaluating_need_no_extra(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        "method: agw\n"
        "config: {backbone: resnet10-half, weights: none, epochs: 1, non_local: [0, 0, 0, 0]}\n"
        "data: {height: 32, width: 16, ids_per_batch: 2, visible_per_id: 2, infrared_per_id: 2,"
        " iterations_per_epoch: 2, workers: 0}\n"
    )
    people, run = tmp_path / "people", tmp_path / "run"
    for command in (
        ("data", "make", "promenade", people, "--preset", "tiny", "--height", 32, "--width", 16),
        ("train", recipe, "--data", f"sysu-mm01:{people}", "--out", run),
        ("evaluate", run, "--data", f"sysu-mm01:{people}", "--workers", 0),
    ):
        ran = bare(*command)
        assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("gallery", "stats", "people.lance"), "gallery"),
        (("report", "run"), "report"),
        (("serve", "people.lance"), "service"),
    ],
)
def test_what_is_missing_is_named_with_how_to_get_it(
    command: tuple[str, ...], extra: str, tmp_path: Path
) -> None:
    store = tmp_path / "people.lance"
    store.mkdir()
    write_description(store, "lance", INFO)
    ran = bare(*command[:-1], tmp_path / command[-1])
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    named = re.search(r"pip install 'crosslight\[([a-z-]+)\]'", ran.stderr)
    assert named is not None, ran.stderr
    assert named[1] == extra


def test_a_library_raises_the_same_sentence(tmp_path: Path) -> None:
    store = tmp_path / "people.lance"
    store.mkdir()
    write_description(store, "lance", INFO)
    ran = bare(store, what=NOTEBOOK)
    assert re.findall(r"crosslight\[([a-z-]+)\]", ran.stdout) == ["gallery", "video"], ran.stderr


def test_every_extra_brings_what_it_is_asked_for() -> None:
    """Each module of `EXTRAS` stands in an extra that exists, or comes with a package in it."""
    packages = {"sklearn": "scikit-learn", "python_multipart": "python-multipart"}
    packages |= {"starlette": "fastapi", "torch_fidelity": "torch-fidelity"}
    stated = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    extras = stated["project"]["optional-dependencies"]
    for module, extra in EXTRAS.items():
        wanted = packages.get(module, module)
        assert any(re.match(rf"{wanted}\b", line) for line in extras[extra]), (module, extra)
    assert requires("crosslight")
