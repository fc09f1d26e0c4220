"""The flags that ask for re-ranking and query expansion, as what is to be computed."""

from __future__ import annotations

from crosslight.errors import ConfigError
from crosslight.evaluation.reranking.refinements import KReciprocal, QueryExpansion, Refinement


def chosen_refinements(
    *,
    rerank: bool,
    expand: int | None,
    k1: int | None = None,
    k2: int | None = None,
    share: float | None = None,
) -> tuple[Refinement, ...]:
    """Re-ranking first, then query expansion; each is scored by itself beside the plain ranking.

    Args:
        rerank: Whether `--rerank` was said.
        expand: The number given to `--expand`.
        k1: The number given to `--k1`, None for that of the paper.
        k2: The number given to `--k2`, None for that of the paper.
        share: The number given to `--share`, None for that of the paper.

    Raises:
        ConfigError: A number of the re-ranking is given without `--rerank`, or is out of range.
    """
    given: dict[str, float] = {
        name: value
        for name, value in (("k1", k1), ("k2", k2), ("share", share))
        if value is not None
    }
    if given and not rerank:
        name = next(iter(given))
        raise ConfigError(f"--{name} is a number of the re-ranking; add --rerank.")
    chosen: list[Refinement] = []
    if rerank:
        chosen.append(KReciprocal(**given))  # type: ignore[arg-type]
    if expand is not None:
        chosen.append(QueryExpansion(k=expand))
    return tuple(chosen)
