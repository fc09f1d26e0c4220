"""What can be done with a ranking before it is counted: re-ranking, query expansion."""

from __future__ import annotations

from dataclasses import dataclass

from crosslight.errors import ConfigError
from crosslight.types import Distance


@dataclass(frozen=True, kw_only=True)
class KReciprocal:
    """k-reciprocal re-ranking.

    Attributes:
        k1: Neighbours that a set is made of (20 in the paper for Market-1501).
        k2: Neighbours whose weights are averaged, 1 for none (6 in the paper).
        share: Weight of the original distance, the paper's lambda (0.3).

    Raises:
        ConfigError: A number is out of range.
    """

    k1: int = 20
    k2: int = 6
    share: float = 0.3

    def __post_init__(self) -> None:
        if self.k1 < 1 or not 1 <= self.k2 <= self.k1 + 1 or not 0 <= self.share <= 1:
            raise ConfigError(
                f"Re-ranking with k1={self.k1}, k2={self.k2}, lambda={self.share} is not possible; "
                "expected k1 at least 1, k2 from 1 to k1 + 1 and lambda from 0 to 1."
            )

    @property
    def text(self) -> str:
        """The name and the numbers."""
        return f"k-reciprocal re-ranking, k1={self.k1}, k2={self.k2}, lambda={self.share:g}"


@dataclass(frozen=True, kw_only=True)
class QueryExpansion:
    """A query becomes the mean of itself and its nearest gallery images, which is asked again.

    Attributes:
        k: How many nearest allowed images join.
        power: Each joins with its cosine to this power, negative cosines with 0; 0 for equal parts.

    Raises:
        ConfigError: A number is out of range.
    """

    k: int = 5
    power: float = 3.0

    def __post_init__(self) -> None:
        if self.k < 1 or self.power < 0:
            raise ConfigError(
                f"Query expansion with k={self.k}, power={self.power} is not possible; expected k "
                "at least 1 and a power of at least 0."
            )

    @property
    def text(self) -> str:
        """The name and the numbers."""
        return f"query expansion, k={self.k}, power={self.power:g}"


Refinement = KReciprocal | QueryExpansion


REFINED_RULE = (
    "all queries and the whole gallery of a trial are used together, not comparable with figures "
    "without it"
)


def refinement_rule(refinement: Refinement) -> str:
    """What a result says about it."""
    return f"then {refinement.text}: {REFINED_RULE}"


def check_refinement(refinement: Refinement, distance: Distance) -> None:
    """Refuses what cannot be computed, before any work is done.

    Raises:
        ConfigError: Re-ranking is asked for with the distance 'dot'.
    """
    if distance == "dot" and isinstance(refinement, KReciprocal):
        raise ConfigError(
            "Re-ranking compares neighbourhoods, which the inner product does not have; use "
            "--distance cosine or euclidean."
        )
