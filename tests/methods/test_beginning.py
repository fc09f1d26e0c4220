"""Every network of every method that may begin from weights begins from those that are named."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pytest

from crosslight.methods.backbone_config import BackboneConfig
from crosslight.methods.beginning import beginning_from, beginning_of
from crosslight.registry import METHODS, method_class

GIVEN = re.compile(r"^(teacher|generator|image|bdtr)_(weights|sha256)$")
"""Of a stage that a file gives: not what a training begins from."""


def _fields(config: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _fields(value)
        elif not GIVEN.match(field.name):
            yield field.name, value


def _named(config: Any, ending: str) -> set[Any]:
    return {value for name, value in _fields(config) if re.search(rf"(^|_){ending}$", name)}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_networks_and_weights_say_so_by_their_type(method: str) -> None:
    config = method_class(method).Config()
    before = [value for name, value in _fields(config) if not _begins(name)]
    begun = beginning_from(config, network="resnet18-half", weights="promenade")
    assert _named(begun, "(backbone|network)") <= {"resnet18-half"}
    assert _named(begun, "weights") <= {"promenade"}
    assert _named(begun, "sha256") <= {None}
    assert [value for name, value in _fields(begun) if not _begins(name)] == before
    expected = None if method == "unet-disentangle" else ("resnet18-half", "promenade")
    assert beginning_of(begun) == expected


def test_a_digest_goes_with_the_weights_that_it_was_of() -> None:
    config = BackboneConfig(weights="mine.pth", sha256="0" * 64)
    assert beginning_from(config, network="resnet10-half", weights="none") == BackboneConfig(
        backbone="resnet10-half", weights="none"
    )


def _begins(name: str) -> bool:
    return re.search(r"(^|_)(backbone|network|weights|sha256)$", name) is not None
