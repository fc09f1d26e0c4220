"""Options that stand in a dataclass, as flags of a command."""

from __future__ import annotations

from typing import Annotated, TypeVar

from tyro.conf import arg

T = TypeVar("T")

Flat = Annotated[T, arg(name="")]
"""The fields are flags beside the others, under their own names."""
