"""Python functions as machine code, compiled on first use and kept on disk where that can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def machine_code(function: F, **options: Any) -> F:
    """A function as numba compiles it with the given options.

    The code is kept beside the source or, where that cannot be written, in the user's cache
    folder. Where neither can, as in a container whose disk is read-only, every process compiles
    anew.
    """
    try:
        return cast("F", numba.njit(cache=True, **options)(function))
    except RuntimeError:
        return cast("F", numba.njit(**options)(function))
