"""Follows people from frame to frame: by where they are, and by what they look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from crosslight.gallery.boxes import Box
from crosslight.gallery.rows import Vectors

LEAST_OVERLAP = 0.1
LEAST_LIKENESS = 0.3
"""Half the overlap and half the cosine must together reach this for a person to be followed."""

LIKENESS_ALONE = 0.8
"""Cosine from which a person is followed who has moved out of their last box."""

GONE_AFTER_S = 2.0
_MEMORY = 0.8


@dataclass(kw_only=True, eq=False)
class Track:
    """One person for as long as they stay in view.

    Attributes:
        number: From 1.
        box: Where they were last.
        seen: Time of that, in seconds.
        look: (D,) moving mean of their embeddings, of length 1.
    """

    number: int
    box: Box
    seen: float
    look: Vectors


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
            time: Of the frame, in seconds, later than the one before.
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
            likeness, allowed = self._compare(boxes, looks)
            rows, columns = linear_sum_assignment(-likeness)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                if allowed[row, column]:
                    track = self._active[row]
                    track.box, track.seen = boxes[column], time
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
        self, boxes: Sequence[Box], looks: Vectors
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        overlap = np.array([[t.box.overlap(box) for box in boxes] for t in self._active])
        cosine = np.stack([track.look for track in self._active]) @ looks.T
        likeness = 0.5 * overlap + 0.5 * cosine
        stayed = (overlap >= LEAST_OVERLAP) & (likeness >= LEAST_LIKENESS)
        allowed = stayed | (cosine >= LIKENESS_ALONE)
        # What is not allowed must not take the place of what is.
        return np.where(allowed, likeness, -10.0), allowed
