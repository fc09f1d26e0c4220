"""Promenade: the procedural visible-infrared data set that ships inside crosslight.

Seeded people, six cameras, three spectra, every factor known. `make` writes it in a published
layout, `load_world` opens what was made, `true_swap` and `true_translation` draw the truth that
generated images are compared with. Numbers on Promenade are never numbers on a real set.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crosslight.data.promenade.dataset import MadeSet, load_world
    from crosslight.data.promenade.drawing import Picture, render, render_with_mask
    from crosslight.data.promenade.factors import (
        Body,
        Cut,
        Look,
        Material,
        Person,
        Pose,
        Shot,
        Spectrum,
        Structure,
        View,
    )
    from crosslight.data.promenade.making import MakeInterruptedError, MakeSummary, make
    from crosslight.data.promenade.swap import true_swap, true_translation
    from crosslight.data.promenade.wishes import Wishes
    from crosslight.data.promenade.world import World

_HOMES = {
    "dataset": ("MadeSet", "load_world"),
    "factors": (
        "Body",
        "Cut",
        "Look",
        "Material",
        "Person",
        "Pose",
        "Shot",
        "Spectrum",
        "Structure",
        "View",
    ),
    "making": ("MakeInterruptedError", "MakeSummary", "make"),
    "drawing": ("Picture", "render", "render_with_mask"),
    "swap": ("true_swap", "true_translation"),
    "wishes": ("Wishes",),
    "world": ("World",),
}

__all__ = [
    "Body",
    "Cut",
    "Look",
    "MadeSet",
    "MakeInterruptedError",
    "MakeSummary",
    "Material",
    "Person",
    "Picture",
    "Pose",
    "Shot",
    "Spectrum",
    "Structure",
    "View",
    "Wishes",
    "World",
    "load_world",
    "make",
    "render",
    "render_with_mask",
    "true_swap",
    "true_translation",
]


def __getattr__(name: str) -> Any:
    # Numba and polars are loaded when something is drawn, not when a command line is parsed.
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
