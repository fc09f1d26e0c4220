from __future__ import annotations

import pytest

from crosslight import registry
from crosslight.data.table import SampleTable
from tests.training.people import draw_people


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> SampleTable:
    return draw_people(tmp_path_factory.mktemp("people"))


@pytest.fixture(autouse=True)
def tiny_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.METHODS, "tiny", "tests.training.tiny:Tiny")
