"""The arithmetic that machine code may do: in the order written, or reordered, or without nan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from crosslight.machine_code import machine_code

F = TypeVar("F", bound=Callable[..., Any])

_REORDERED = {"reassoc", "nsz", "contract"}
_NO_NAN = {"reassoc", "nsz", "nnan"}
_FUSED = {"contract"}


def compiled(function: F) -> F:
    """Every operation in the order in which it is written: the same bits on every machine."""
    return _compiled(function, fastmath=False)


def compiled_reordered(function: F) -> F:
    """Sums may be reordered and fused, for results that come with an error bound."""
    return _compiled(function, fastmath=_REORDERED)


def compiled_fused(function: F) -> F:
    """The order as written, but a product and the sum it goes into may round once together."""
    return _compiled(function, fastmath=_FUSED)


def compiled_without_nan(function: F) -> F:
    """For minima and maxima over numbers that are never nan."""
    return _compiled(function, fastmath=_NO_NAN)


def _compiled(function: F, *, fastmath: object) -> F:
    return machine_code(function, nogil=True, fastmath=fastmath, boundscheck=False)
