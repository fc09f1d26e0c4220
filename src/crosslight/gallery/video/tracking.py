"""Follows people from frame to frame: by where they go, and by what they look like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from crosslight.gallery.stores.rows import Vectors
from crosslight.gallery.video.boxes import Box

LEAST_OVERLAP = 0.1
LEAST_LIKENESS = 0.3
"""Half the overlap and half the cosine must together reach this for a person to be followed."""

NEAR = 0.5
"""Heights from where a person is expected, and again for each second unseen, that are near."""

LIKENESS_NEAR = 0.5
"""Cosine from which a person is followed whose box is near where they are expected."""

LIKENESS_ALONE = 0.8
"""Cosine from which a person is followed wherever they are."""

GONE_AFTER_S = 2.0
_MEMORY = 0.8
_MOMENTUM = 0.7
_WALKS_ON_S = 1.0
"""So long a person who is not seen is expected to go on as before."""


@dataclass(kw_only=True, eq=False)
class Track:
    """One person for as long as they stay in view.

    Attributes:
        number: From 1.
        box: Where they were last.
        seen: Time of that, in seconds.
        look: (D,) moving mean of their embeddings, of length 1.
        velocity: Pixels a second to the right and down, a moving mean; None: seen once.
    """

    number: int
    box: Box
    seen: float
    look: Vectors
    velocity: tuple[float, float] | None = None

    def expected(self, time: float) -> Box:
        """Where they are, if they went on."""
        away = min(time - self.seen, _WALKS_ON_S)
        right, down = (away * speed for speed in self.velocity or (0.0, 0.0))
        return Box(
            left=self.box.left + right,
            top=self.box.top + down,
            right=self.box.right + right,
            bottom=self.box.bottom + down,
        )

    def move(self, time: float, box: Box) -> None:
        """They were seen again."""
        away = time - self.seen
        if away > 0:
            (x, y), (was_x, was_y) = box.centre, self.box.centre
            now = ((x - was_x) / away, (y - was_y) / away)
            before = self.velocity or now
            self.velocity = (
                _MOMENTUM * before[0] + (1 - _MOMENTUM) * now[0],
                _MOMENTUM * before[1] + (1 - _MOMENTUM) * now[1],
            )
        self.box, self.seen = box, time


class Tracker:
    """Assigns the boxes of each frame to tracks."""

    def __init__(self) -> None:
        self._active: list[Track] = []
        self._count = 0

    def update(
        self, time: float, boxes: Sequence[Box], vectors: Vectors
    ) -> tuple[list[Track], list[Track]]:
        """Looks at the next frame.

        Args:
            time: Of the frame, in seconds, not before the one before.
            boxes: N people in it.
            vectors: (N, D) their embeddings.

        Returns:
            The track of each box, and the tracks that have ended.
        """
        ended = [track for track in self._active if time - track.seen > GONE_AFTER_S]
        self._active = [track for track in self._active if time - track.seen <= GONE_AFTER_S]
        looks = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        found: list[Track | None] = [None] * len(boxes)
        if self._active and boxes:
            likeness, allowed = self._compare(time, boxes, looks)
            rows, columns = linear_sum_assignment(-likeness)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                if allowed[row, column]:
                    track = self._active[row]
                    track.move(time, boxes[column])
                    look = _MEMORY * track.look + (1 - _MEMORY) * looks[column]
                    track.look = look / max(float(np.linalg.norm(look)), 1e-12)
                    found[column] = track
        assigned = []
        for box, look, known in zip(boxes, looks, found, strict=True):
            track = known or self._begun(time, box, look)
            assigned.append(track)
        return assigned, ended

    def finish(self) -> list[Track]:
        """The tracks that are still there when the video ends."""
        ended, self._active = self._active, []
        return ended

    def _begun(self, time: float, box: Box, look: Vectors) -> Track:
        self._count += 1
        track = Track(number=self._count, box=box, seen=time, look=look)
        self._active.append(track)
        return track

    def _compare(
        self, time: float, boxes: Sequence[Box], looks: Vectors
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        expected = [track.expected(time) for track in self._active]
        overlap = np.array([[place.overlap(box) for box in boxes] for place in expected])
        heights = np.array([[_heights_between(place, b) for b in boxes] for place in expected])
        away = np.array([[time - track.seen] for track in self._active])
        cosine = np.stack([track.look for track in self._active]) @ looks.T
        likeness = 0.5 * overlap + 0.5 * cosine
        stayed = (overlap >= LEAST_OVERLAP) & (likeness >= LEAST_LIKENESS)
        near = (heights <= NEAR * (1 + away)) & (cosine >= LIKENESS_NEAR)
        allowed = stayed | near | (cosine >= LIKENESS_ALONE)
        # What is not allowed must not take the place of what is.
        return np.where(allowed, likeness, -10.0), allowed


def _heights_between(a: Box, b: Box) -> float:
    """How far one centre is from the other, in heights of the first box."""
    return math.dist(a.centre, b.centre) / max(a.bottom - a.top, 1.0)
