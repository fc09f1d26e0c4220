from pathlib import Path

import pytest

from crosslight.data.promenade import load_world, make
from crosslight.probing.people import People, draw_people


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    """Thirty people of a tiny world, small pictures, visible and near-infrared."""
    root: Path = tmp_path_factory.mktemp("probing") / "world"
    make(root, preset="tiny", layout="sysu-mm01", height=32, width=16, workers=1)
    return draw_people(load_world(root), 30)
