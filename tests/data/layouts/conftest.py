from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.trees import plant

Planter = Callable[[dict[str, str | bytes | None]], Path]


@pytest.fixture
def planted(tmp_path: Path) -> Planter:
    """Plants a tree under a root whose own path looks like camera 9 of everything."""
    root = tmp_path / "0777_c9s9_cam9" / "data_c1_x"
    return lambda files: plant(root, files)
