"""Which gallery images a query must not see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crosslight.data.layouts.sysu_mm01 import SHARED_LOCATION

KEEP = 0
DROP_SAME_PERSON = 1
DROP_ALL = 2


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A camera rule: for each pair of query camera and gallery camera, what is left out.

    Every rule of the published protocols is such a table, so ranking and chance levels need to
    know this one form only.

    Attributes:
        text: The rule in words, as a protocol prints it.
        same_camera: Leave out gallery images of the query's person by the query's camera.
        skipped: (query camera, gallery camera) pairs whose gallery images are left out whoever
            they show.
    """

    text: str
    same_camera: bool = False
    skipped: tuple[tuple[int, int], ...] = ()

    @property
    def reads_cams(self) -> bool:
        """Whether the rule depends on cameras at all."""
        return self.same_camera or bool(self.skipped)

    def table(
        self, query_cams: npt.NDArray[np.int64], gallery_cams: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """`(len(query_cams), len(gallery_cams))` of KEEP, DROP_SAME_PERSON or DROP_ALL.

        Args:
            query_cams: The distinct cameras of the queries.
            gallery_cams: The distinct cameras of the gallery.
        """
        table = np.full((len(query_cams), len(gallery_cams)), KEEP, dtype=np.uint8)
        if self.same_camera:
            table[query_cams[:, None] == gallery_cams[None, :]] = DROP_SAME_PERSON
        for query_cam, gallery_cam in self.skipped:
            table[np.ix_(query_cams == query_cam, gallery_cams == gallery_cam)] = DROP_ALL
        return table


NO_EXCLUSION = Exclusion(text="none: every gallery image counts for every query")
SAME_PERSON_SAME_CAMERA = Exclusion(
    text="a query does not see gallery images of its own person by its own camera",
    same_camera=True,
)
SYSU_SAME_PLACE = Exclusion(
    text="; ".join(
        f"a camera-{query} query sees no image of camera {cam}, whoever it shows (the two share a "
        "room)"
        for query, cam in SHARED_LOCATION.items()
    ),
    skipped=tuple(SHARED_LOCATION.items()),
)
