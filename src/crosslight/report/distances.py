"""How far apart images of one person lie, and how far those of different people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from crosslight.data.table import junk
from crosslight.report.colours import DIFFERENT_PERSON, INK, SAME_PERSON
from crosslight.report.palette import label, new_axes
from crosslight.types import Modality

FINE_BINS = 4000
PLOT_BINS = 80
MAX_COSINE_DISTANCE = 2.0
BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class PairHistogram:
    """Cosine distances of unordered pairs of images.

    Attributes:
        name: Which pairs, e.g. `within visible`.
        rule: Which of them were counted, in words.
        same: (FINE_BINS,) int64 pairs of one person per bin of [0, 2].
        different: (FINE_BINS,) int64 pairs of two people per bin.
    """

    name: str
    rule: str
    same: NDArray[np.int64]
    different: NDArray[np.int64]

    @property
    def auc(self) -> float | None:
        """Probability that a same-person pair is nearer than a different-person pair.

        Pairs in one bin (0.0005 wide) count as ties, half each. None without pairs of both kinds.
        """
        if not self.same.sum() or not self.different.sum():
            return None
        same = self.same / self.same.sum()
        different = self.different / self.different.sum()
        farther = 1.0 - np.cumsum(different)
        return float(np.sum(same * (farther + different / 2)))

    @property
    def overlap(self) -> float | None:
        """Area common to the two drawn, normalised histograms, in [0, 1]; None as for `auc`."""
        if not self.same.sum() or not self.different.sum():
            return None
        same, different = (_coarse(counts) for counts in (self.same, self.different))
        return float(np.minimum(same / same.sum(), different / different.sum()).sum())


def pair_histograms(
    features: NDArray[np.floating[Any]],
    pids: NDArray[np.int64],
    cams: NDArray[np.int64],
    modality: NDArray[np.uint8],
    *,
    max_images: int = 8_000,
    seed: int = 0,
) -> list[PairHistogram]:
    """Counts the pairs within each modality and across them; kinds without a pair are left out.

    Within a modality only pairs from two cameras count, as in the protocols, unless all its
    images come from one camera. Above `max_images` a seeded sample is taken.

    Args:
        features: (N, D), any scale.
        pids: (N,) with negative ids for images of nobody known, which are skipped.
        cams: (N,).
        modality: (N,) `Modality`.
        max_images: Largest number of images taken into account.
        seed: Of the sample.
    """
    rows = np.flatnonzero(~junk(pids))
    sampled = rows.size > max_images
    if sampled:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_images, replace=False))
    unit = _unit_rows(features[rows])
    pids, cams, modality = pids[rows], cams[rows], modality[rows]
    note = f", from {max_images:,} images drawn by chance" if sampled else ""
    visible = np.flatnonzero(modality == Modality.VISIBLE)
    infrared = np.flatnonzero(modality == Modality.INFRARED)
    found = []
    for name, left, right in (
        ("within visible", visible, visible),
        ("within infrared", infrared, infrared),
        ("across modality", visible, infrared),
    ):
        within = left is right
        cross_camera = within and np.unique(cams[left]).size > 1
        if within:
            rule = "pairs from two cameras" if cross_camera else "all pairs of one camera"
        else:
            rule = "every visible image with every infrared image"
        same, different = _count(unit, pids, cams, left, right, within, cross_camera)
        if same.sum() + different.sum():
            found.append(PairHistogram(name=name, rule=rule + note, same=same, different=different))
    return found


def distance_figures(histograms: Sequence[PairHistogram]) -> list[Figure]:
    """One panel per kind of pairs, all with the same distance axis; none without pairs."""
    occupied = np.flatnonzero(sum(_coarse(h.same) + _coarse(h.different) for h in histograms))
    if not len(occupied):
        return []
    edges = np.linspace(0.0, MAX_COSINE_DISTANCE, PLOT_BINS + 1)
    low, high = edges[occupied[0]], edges[occupied[-1] + 1]
    return [_panel(histogram, edges, low, high) for histogram in histograms]


def _panel(histogram: PairHistogram, edges: NDArray[np.float64], low: float, high: float) -> Figure:
    figure, axes = new_axes(3.5, 2.9)
    for counts, name, colour, hatch in (
        (histogram.different, "different people", DIFFERENT_PERSON, ""),
        (histogram.same, "same person", SAME_PERSON, "////"),
    ):
        total = int(counts.sum())
        if not total:
            continue
        share = 100 * _coarse(counts) / total
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.22)
        if hatch:
            axes.stairs(share, edges, fill=True, facecolor="none", edgecolor=colour, hatch=hatch,
                        linewidth=0, alpha=0.5)  # fmt: skip
        axes.stairs(share, edges, color=colour, linewidth=1.6, label=f"{name} ({total:,})")
    label(axes, x="cosine distance", y="% of pairs", title=histogram.name)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(5, prune="upper"))
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    # Headroom, so that the legend stands above the histograms and not on them.
    axes.set_ylim(top=axes.get_ylim()[1] * 1.32)
    axes.legend(frameon=False, fontsize=9, loc="upper left", labelcolor=INK, borderaxespad=0.1)
    return figure


def _count(
    unit: NDArray[np.float64],
    pids: NDArray[np.int64],
    cams: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    within: bool,
    cross_camera: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    same_total = np.zeros(FINE_BINS, dtype=np.int64)
    different_total = np.zeros(FINE_BINS, dtype=np.int64)
    for start in range(0, left.size, BLOCK):
        block = left[start : start + BLOCK]
        bins = bin_of(1.0 - unit[block] @ unit[right].T)
        counted = np.ones(bins.shape, dtype=bool)
        if within:
            counted &= right[None, :] > block[:, None]
        if cross_camera:
            counted &= cams[block, None] != cams[None, right]
        same = pids[block, None] == pids[None, right]
        same_total += np.bincount(bins[counted & same], minlength=FINE_BINS)
        different_total += np.bincount(bins[counted & ~same], minlength=FINE_BINS)
    return same_total, different_total


def bin_of(distance: NDArray[np.float64]) -> NDArray[np.int64]:
    """The fine bin of each cosine distance; rounding errors outside [0, 2] go to its ends."""
    bins = np.floor(distance * (FINE_BINS / MAX_COSINE_DISTANCE)).astype(np.int64)
    return np.clip(bins, 0, FINE_BINS - 1)


def _coarse(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    coarse: NDArray[np.int64] = counts.reshape(PLOT_BINS, -1).sum(axis=1)
    return coarse


def _unit_rows(features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    rows = features.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)
