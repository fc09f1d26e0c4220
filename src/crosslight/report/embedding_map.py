"""A flat map of the embeddings: t-SNE, coloured by person, marked by modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from crosslight.data.table import junk
from crosslight.report.colours import INK, MODALITY_COLOUR, MODALITY_MARKER, MUTED, SURFACE
from crosslight.report.palette import new_axes, people_colours
from crosslight.types import Modality

FEWEST_IMAGES = 4
"""Below this, a map shows nothing that the ranked lists do not show better."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingMap:
    """Where each pictured embedding lies on the map.

    Attributes:
        rows: (M,) rows of the test table.
        places: (M, 2) float64; only nearness has a meaning, not the axes.
        people: Number of people pictured.
        people_in_all: Number of people in the test table.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.float64]
    people: int
    people_in_all: int


def map_embeddings(
    features: NDArray[np.floating[Any]],
    pids: NDArray[np.int64],
    modality: NDArray[np.uint8],
    *,
    seed: int = 0,
    max_people: int = 24,
    max_images: int = 1_500,
) -> EmbeddingMap | None:
    """Lays out the images of some people by t-SNE (van der Maaten and Hinton 2008) from PCA.

    Features are scaled to unit length first, so that nearness is that of cosine distance.

    Args:
        features: (N, D), any scale.
        pids: (N,); rows with negative ids are left out.
        modality: (N,) `Modality`; each modality keeps its part of a person's images.
        seed: Of the choice of people and of the layout.
        max_people: More people than that are sampled: colours stop telling them apart.
        max_images: More images than that are sampled, evenly over people and modalities.

    Returns:
        None with fewer than `FEWEST_IMAGES` images.
    """
    rows = choose_rows(pids, modality, seed=seed, max_people=max_people, max_images=max_images)
    if rows.size < FEWEST_IMAGES:
        return None
    return EmbeddingMap(
        rows=rows,
        places=_layout(features[rows].astype(np.float64), seed),
        people=np.unique(pids[rows]).size,
        people_in_all=np.unique(pids[~junk(pids)]).size,
    )


def choose_rows(
    pids: NDArray[np.int64],
    modality: NDArray[np.uint8],
    *,
    seed: int,
    max_people: int,
    max_images: int,
) -> NDArray[np.int64]:
    """The rows to draw, ascending; people seen in both modalities are preferred."""
    generator = np.random.default_rng(seed)
    known = np.unique(pids[~junk(pids)])
    in_both = np.intersect1d(pids[modality == 0], pids[modality == 1], assume_unique=False)
    first = generator.permutation(np.intersect1d(known, in_both))
    second = generator.permutation(np.setdiff1d(known, in_both))
    people = np.concatenate([first, second])[:max_people]
    drawn = np.isin(pids, people)
    groups = [
        generator.permutation(np.flatnonzero(drawn & (pids == pid) & (modality == light)))
        for pid in people
        for light in np.unique(modality)
    ]
    # One image of each group in turn, until the limit is reached.
    turns = [
        group[turn] for turn in range(_longest(groups)) for group in groups if turn < len(group)
    ]
    return np.sort(np.array(turns[:max_images], dtype=np.int64))


def map_figures(
    embedding_map: EmbeddingMap, pids: NDArray[np.int64], modality: NDArray[np.uint8]
) -> list[Figure]:
    """The map coloured by person and, where there are two modalities, again by modality."""
    people = pids[embedding_map.rows]
    light = modality[embedding_map.rows]
    figures = [_by_person(embedding_map.places, people, light)]
    if np.unique(light).size > 1:
        figures.append(_by_modality(embedding_map.places, light))
    return figures


def _by_person(
    places: NDArray[np.float64], people: NDArray[np.int64], light: NDArray[np.uint8]
) -> Figure:
    figure, axes = _bare_axes(places)
    halo = [patheffects.withStroke(linewidth=2.5, foreground=SURFACE)]
    present = np.unique(people)
    for pid, colour in zip(present, people_colours(present.size), strict=True):
        for kind in np.unique(light):
            own = places[(people == pid) & (light == kind)]
            if not own.size:
                continue
            _dots(axes, own, Modality(kind), colour)
            middle = own[np.argmin(np.abs(own - np.median(own, axis=0)).sum(axis=1))]
            axes.annotate(
                str(pid), middle, xytext=(0, 8), textcoords="offset points", color=colour,
                fontsize=9, fontweight="bold", ha="center", va="center", path_effects=halo,
            )  # fmt: skip
    _legend(axes, light, dict.fromkeys(Modality, MUTED))
    return figure


def _by_modality(places: NDArray[np.float64], light: NDArray[np.uint8]) -> Figure:
    figure, axes = _bare_axes(places)
    for kind in np.unique(light):
        name = Modality(kind)
        _dots(axes, places[light == kind], name, MODALITY_COLOUR[name])
    _legend(axes, light, MODALITY_COLOUR)
    return figure


def _dots(axes: Axes, places: NDArray[np.float64], light: Modality, colour: str) -> None:
    axes.plot(
        places[:, 0], places[:, 1], linestyle="", marker=MODALITY_MARKER[light], markersize=5.1,
        color=colour, markeredgecolor=SURFACE, markeredgewidth=0.4,
    )  # fmt: skip


def _legend(axes: Axes, light: NDArray[np.uint8], colours: dict[Modality, str]) -> None:
    handles = [
        Line2D([], [], linestyle="", marker=MODALITY_MARKER[Modality(kind)], markersize=7,
               color=colours[Modality(kind)], label=Modality(kind).name.lower())
        for kind in np.unique(light)
    ]  # fmt: skip
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2,
                frameon=False, fontsize=10, labelcolor=INK)  # fmt: skip


def _bare_axes(places: NDArray[np.float64]) -> tuple[Figure, Axes]:
    extent = np.ptp(places, axis=0)
    shape = float(np.clip(extent[1] / extent[0], 0.55, 1.2)) if extent[0] else 1.0
    figure, axes = new_axes(5.4, 5.4 * shape + 0.3)
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.03)
    return figure, axes


def _layout(features: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(length > 0, length, 1.0)
    centred = unit - unit.mean(axis=0)
    if features.shape[1] < 2 or np.linalg.matrix_rank(centred) < 2:
        # Points on a line have no second principal axis to start from.
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        return np.stack([centred @ axes[0], np.zeros(len(centred))], axis=1)
    perplexity = min(30.0, (len(unit) - 1) / 3)
    layout = TSNE(init="pca", perplexity=perplexity, random_state=seed, max_iter=750)
    # So few points gain nothing from threads, which wait for each other on a busy machine.
    with threadpool_limits(limits=1):
        places: NDArray[np.float64] = layout.fit_transform(unit).astype(np.float64)
    return places


def _longest(groups: list[NDArray[np.int64]]) -> int:
    return max((len(group) for group in groups), default=0)
