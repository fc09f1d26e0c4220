"""Python functions as machine code, compiled on first use and kept on disk where possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

_REORDERED = {"reassoc", "nsz", "contract"}
_NO_NAN = {"reassoc", "nsz", "nnan"}


def compiled(function: F) -> F:
    """Every operation in the order in which it is written: the same bits on every machine."""
    return _compiled(function, fastmath=False)


def compiled_reordered(function: F) -> F:
    """Sums may be reordered and fused, for results that come with an error bound."""
    return _compiled(function, fastmath=_REORDERED)


def compiled_without_nan(function: F) -> F:
    """For minima and maxima over numbers that are never nan."""
    return _compiled(function, fastmath=_NO_NAN)


def _compiled(function: F, *, fastmath: object) -> F:
    options = {"nogil": True, "fastmath": fastmath, "boundscheck": False}
    try:
        return cast("F", numba.njit(cache=True, **options)(function))
    except RuntimeError:  # no folder to keep the code in: a read-only installation
        return cast("F", numba.njit(**options)(function))
