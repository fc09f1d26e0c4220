"""What the networks of a method begin from, and the same training from another beginning.

A field says by its type what it names: `Network`, `Weights` or `Digest`. Networks that are drawn
at random in every system, such as decoders and critics, have no such field.
"""

from __future__ import annotations

import dataclasses
import typing
from enum import Enum
from typing import Annotated, Any, TypeVar

from crosslight.methods.scaling import MethodConfig

C = TypeVar("C", bound=MethodConfig)


class Begins(Enum):
    """What a field of a configuration names."""

    NETWORK = "a network whose weights may have learnt before"
    WEIGHTS = "its weights"
    DIGEST = "the digest of their file"


Network = Annotated[str, Begins.NETWORK]
MaybeNetwork = Annotated[str | None, Begins.NETWORK]
Weights = Annotated[str, Begins.WEIGHTS]
Digest = Annotated[str | None, Begins.DIGEST]


def beginning_from(config: C, *, network: str, weights: str) -> C:
    """The same configuration with every such network of one kind, and from the same weights.

    Args:
        config: Of a method; nested configurations change too.
        network: As `backbone` in a recipe.
        weights: As `weights` in a recipe.
    """
    values = {Begins.NETWORK: network, Begins.WEIGHTS: weights, Begins.DIGEST: None}
    hints = typing.get_type_hints(type(config), include_extras=True)
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        inner = getattr(config, field.name)
        if isinstance(inner, MethodConfig):
            changed[field.name] = beginning_from(inner, network=network, weights=weights)
        for mark in getattr(hints[field.name], "__metadata__", ()):
            if isinstance(mark, Begins):
                changed[field.name] = values[mark]
    return dataclasses.replace(config, **changed)


def beginning_of(config: MethodConfig) -> tuple[str, str] | None:
    """The first network that a configuration names, and its weights; None where there is none."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    found: dict[Begins, str] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, MethodConfig) and (inner := beginning_of(value)):
            return inner
        for mark in getattr(hints[field.name], "__metadata__", ()):
            if isinstance(mark, Begins) and value is not None:
                found.setdefault(mark, value)
    if Begins.NETWORK not in found or Begins.WEIGHTS not in found:
        return None
    return found[Begins.NETWORK], found[Begins.WEIGHTS]
