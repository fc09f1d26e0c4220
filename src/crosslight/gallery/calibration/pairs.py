"""The pairs of images that a calibration learns from: their distances, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslight.types import UNKNOWN_CAM, Distance

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """N pairs of images.

    Attributes:
        distances: (N,).
        first: (N,) person on one image, counted from 0.
        second: (N,) person on the other one.
        people: P, how many there are.
    """

    distances: NDArray[np.floating]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    people: int

    def __len__(self) -> int:
        return len(self.distances)

    @property
    def same(self) -> NDArray[np.bool_]:
        """Which pairs show one person, (N,)."""
        return np.asarray(self.first == self.second)

    def take(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> Pairs:
        """Some of them, of the same people."""
        return Pairs(
            distances=self.distances[chosen],
            first=self.first[chosen],
            second=self.second[chosen],
            people=self.people,
        )

    def drawn(self, draw: FloatArray) -> FloatArray:
        """How often each pair is there when people are drawn again, (N,).

        Args:
            draw: (P,) how often each person was drawn.
        """
        once = draw[self.first]
        return np.where(self.same, once, once * draw[self.second])


def pairs_of_lights(
    between: NDArray[np.float32],
    pids: NDArray[np.int64],
    cams: NDArray[np.int64],
    kinds: Sequence[NDArray[np.bool_]],
) -> list[Pairs]:
    """The pairs of each kind; images of a person by one camera are no pair.

    Args:
        between: (N, N) distances.
        pids: (N,) people.
        cams: (N,) cameras.
        kinds: (N, N) each, which pairs are of the kind.
    """
    people, person = np.unique(pids, return_inverse=True)
    same_camera = (cams[:, None] == cams) & (cams[:, None] != UNKNOWN_CAM)
    once = np.triu(np.ones(between.shape, dtype=bool), 1)
    usable = once & ~((person[:, None] == person) & same_camera)
    found = []
    for kind in kinds:
        rows, columns = np.nonzero(usable & kind)
        found.append(
            Pairs(
                distances=between[rows, columns],
                first=person[rows],
                second=person[columns],
                people=len(people),
            )
        )
    return found


def distances_between(
    first: NDArray[np.float32], second: NDArray[np.float32], distance: Distance
) -> NDArray[np.float32]:
    """(N, M) distances of prepared vectors, as stores give them.

    Args:
        first: (N, D).
        second: (M, D).
        distance: How they are compared.
    """
    products = first @ second.T
    if distance == "dot":
        found = -products
    elif distance == "cosine":
        found = np.clip(1 - products, 0, 2)
    else:
        squares = [np.square(side).sum(axis=1) for side in (first, second)]
        found = np.sqrt(np.maximum(squares[0][:, None] + squares[1] - 2 * products, 0))
    return np.asarray(found, dtype=np.float32)


def drawn_people(people: int, times: int, seed: int) -> FloatArray:
    """How often each person is drawn in samples of as many people, with replacement: (times, P)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(people, np.full(people, 1 / people), size=times).astype(np.float64)
