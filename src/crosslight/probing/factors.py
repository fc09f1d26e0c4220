"""The factors that a code may know, as columns of classes or of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslight.data.promenade.factors import Scalar
from crosslight.probing.people import People, Photographs

Row = Mapping[str, Scalar]


@dataclass(frozen=True, kw_only=True, eq=False)
class Factor:
    """One factor of every image.

    Attributes:
        name: As the tables call it.
        classes: `(N,)` names, where it is one of several.
        numbers: `(N, k)`, where it is measured.
    """

    name: str
    classes: NDArray[np.str_] | None = None
    numbers: NDArray[np.float64] | None = None


_CLASSES: Mapping[str, str] = {
    "upper garment": "cut_upper",
    "lower garment": "cut_lower",
    "hair": "body_hair",
    "bag": "cut_bag",
}
_COLOUR = ("red", "green", "blue")
_NUMBERS: Mapping[str, Callable[[Row], Sequence[float]]] = {
    "upper colour": lambda row: _colour(row, "upper"),
    "lower colour": lambda row: _colour(row, "lower"),
    "body shape": lambda row: [
        float(row[f"body_{part}"]) for part in ("height", "girth", "sex", "shoulder", "hip")
    ],
    "pose": lambda row: [
        *_turn(float(row["pose_phase"])),
        float(row["pose_stride"]),
    ],
    "view": lambda row: _turn(float(row["view_yaw"])),
    "exposure": lambda row: [float(np.log(float(row["view_exposure"])))],
}


def factors_of(people: Photographs) -> tuple[Factor, ...]:
    """Colours of the clothes, cut, hair, bag, body, pose, view, exposure, camera, light.

    Of photographs only camera and light are known. A factor that is the same on all images is left
    out: nobody can know it or not know it.
    """
    rows = people.rows if isinstance(people, People) else ()
    found = []
    if rows:
        found += [
            Factor(name=name, numbers=np.array([take(row) for row in rows], np.float64))
            for name, take in _NUMBERS.items()
        ]
        found += [
            Factor(name=name, classes=np.array([str(row[column]) for row in rows]))
            for name, column in _CLASSES.items()
        ]
    found += [
        Factor(name="camera", classes=people.cams.astype(np.str_)),
        Factor(name="light", classes=people.modality.astype(np.str_)),
    ]
    return tuple(factor for factor in found if _varies(factor))


def true_code(factors: Sequence[Factor]) -> NDArray[np.float64]:
    """All factors in one row of numbers, `(N, D)`: the code that knows everything."""
    columns = []
    for factor in factors:
        if factor.numbers is not None:
            columns.append(factor.numbers)
        elif factor.classes is not None:
            columns.append((factor.classes[:, None] == np.unique(factor.classes)).astype(float))
    return np.concatenate(columns, axis=1)


def _varies(factor: Factor) -> bool:
    values = factor.classes if factor.numbers is None else factor.numbers
    assert values is not None
    return len(np.unique(values, axis=0)) > 1


def _colour(row: Row, garment: str) -> list[float]:
    """As the eye sees it: the square root of reflectances spreads the dark ones."""
    return [float(row[f"look_{garment}_{part}"]) ** 0.5 for part in _COLOUR]


def _turn(angle: float) -> list[float]:
    return [float(np.sin(angle)), float(np.cos(angle))]
