"""What a method is without a recipe: its settings as published, its start as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from crosslight.config import to_plain
from crosslight.registry import METHODS, method_class

SETTINGS: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("published_settings.yaml").read_text(encoding="utf-8")
)


def _stated(name: str) -> dict[str, Any]:
    sources = dict(SETTINGS[name])
    stated = _stated(sources.pop("like")) if "like" in sources else {}
    for settings in sources.values():
        stated |= settings
    return stated


@pytest.mark.parametrize("name", METHODS)
def test_every_default_is_the_stated_one(name: str) -> None:
    found, stated = to_plain(method_class(name).Config()), _stated(name)
    if name == "embedding-disentangle":
        stated["bdtr"] = _stated("bdtr")
    assert {k: (type(v), v) for k, v in found.items()} == {
        k: (type(v), v) for k, v in stated.items()
    }
