import hashlib
from pathlib import Path

import pytest

from crosslight.data.promenade import MakeSummary, make

SIZE = (48, 24)


def make_tiny(
    out: Path, *, layout: str = "sysu-mm01", workers: int = 0, seed: int = 3, **wishes: int
) -> MakeSummary:
    return make(
        out,
        preset="tiny",
        layout=layout,
        height=SIZE[0],
        width=SIZE[1],
        seed=seed,
        workers=workers,
        progress=False,
        **wishes,
    )


def tree(root: Path) -> dict[str, str]:
    """The hash of every file below a folder."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def sysu_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("promenade") / "sysu"
    make_tiny(root)
    return root


@pytest.fixture(scope="session")
def regdb_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("promenade") / "regdb"
    make_tiny(root, layout="regdb")
    return root


@pytest.fixture(scope="session")
def market_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("promenade") / "market"
    make_tiny(root, layout="market1501")
    return root


@pytest.fixture(scope="session")
def worlds_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All lights of people of three worlds."""
    root = tmp_path_factory.mktemp("promenade") / "worlds"
    make_tiny(root, layout="table", people=4, test_people=3, images_per_camera=1, worlds=3)
    return root
