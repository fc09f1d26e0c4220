"""Which parts of a store are joined where each addition makes one, so that few of them stay."""

from __future__ import annotations

from collections.abc import Sequence

PARTS_AT_MOST = 50
"""From one more on they are joined."""


def joined_from(sizes: Sequence[int]) -> int:
    """The first part that is joined with all behind it; their number where none is.

    Afterwards each part is larger than all behind it together, so that they are few. A part is
    written again only with others that are as large, so that an addition costs the same on
    average however many came before.

    Args:
        sizes: Of the parts, in the order in which they were added.
    """
    behind = sum(sizes)
    for place, size in enumerate(sizes[:-1]):
        behind -= size
        if size <= behind:
            return place
    return len(sizes)
