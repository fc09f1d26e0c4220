"""The systems that a leaderboard knows by name, and which data each of them fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crosslight.config import load_recipe, recipe_names
from crosslight.errors import ConfigError
from crosslight.experiments.variants import changes_of, recipe_name
from crosslight.registry import did_you_mean, method_class
from crosslight.report.standings import START

_ACROSS_LIGHT = ("cross-modal", "light-pairs")
"""Samplings whose batches hold images in both lights."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A recipe and what is changed in it.

    Attributes:
        recipe: Shipped recipe or file.
        set: The changes, as for `--set`.
    """

    recipe: str
    set: tuple[str, ...] = ()

    def seeks_across_light(self) -> bool:
        """Whether it learns from images in both lights."""
        return load_recipe(self.recipe, self.set).data.sampling in _ACROSS_LIGHT


_ONE_LIGHT = ("data.sampling=identity", "data.ids_per_batch=16", "data.augmentation.grayscale=0.0")
_AS_RELEASED = (
    "method=case-net-released",
    "config.exchange=as-sampled",
    "data.sampling=pairs",
    "data.ids_per_batch=8",
)

SYSTEMS: dict[str, tuple[Preset, ...]] = {
    "agw": (Preset(recipe="agw-promenade"),),
    "baseline": (
        Preset(recipe="baseline-promenade"),
        Preset(recipe="baseline-promenade", set=_ONE_LIGHT),
    ),
    "zero-padding": (Preset(recipe="zero-padding-promenade"),),
    "bdtr": (Preset(recipe="bdtr-promenade"),),
    "sdl": (Preset(recipe="sdl-promenade"),),
    "sdl-released": (Preset(recipe="sdl-promenade", set=("method=sdl-released",)),),
    "cmpig": (Preset(recipe="cmpig-promenade"),),
    "hicmd": (Preset(recipe="hicmd-promenade"),),
    "case-net": (Preset(recipe="case-net-promenade"),),
    "case-net-aspp": (Preset(recipe="case-net-promenade", set=("method=case-net-aspp",)),),
    "case-net-released": (Preset(recipe="case-net-promenade", set=_AS_RELEASED),),
    "structure-id": (Preset(recipe="structure-id-promenade"),),
    "structure-id-agw": (Preset(recipe="structure-id-agw-promenade"),),
    "proposed-2020": (Preset(recipe="proposed-2020-promenade"),),
    "dgnet": (Preset(recipe="dgnet-promenade"),),
    "dgnet-vi": (Preset(recipe="dgnet-vi-promenade"),),
    "d2rl": (Preset(recipe="d2rl-promenade"),),
    "unet-disentangle": (Preset(recipe="unet-disentangle-promenade"),),
    "embedding-disentangle": (Preset(recipe="embedding-disentangle-promenade"),),
}
"""Every method that ships, by the recipes that learn on two cores; two where it fits two kinds.

`structure-id-agw` is `structure-id` with AGW's appearance encoder, trained as AGW trains.
"""


def named_system(text: str) -> tuple[str, tuple[Preset, ...]]:
    """The name of a system and its presets.

    Args:
        text: A name of `SYSTEMS`, a shipped recipe or a YAML file; behind a `+` switches of its
            method, as `crosslight ablate` takes them.

    Raises:
        ConfigError: No such system or switch.
    """
    base, plus, switches = text.partition("+")
    if base in SYSTEMS:
        presets = SYSTEMS[base]
    elif base in recipe_names() or base.endswith((".yaml", ".yml")):
        presets = (Preset(recipe=base),)
    else:
        raise ConfigError(
            f"Unknown system {base!r}{did_you_mean(base, [*SYSTEMS, *recipe_names()])}"
        )
    if recipe_name(base) == START:
        raise ConfigError(
            f"A system cannot be called {START}, which is the row of what all begin from; give "
            f"{base} another name."
        )
    if not plus:
        return recipe_name(base), presets
    known = method_class(load_recipe(presets[0].recipe, presets[0].set).method).switches
    name, changes = changes_of(switches, known, base)
    changed = tuple(Preset(recipe=p.recipe, set=(*p.set, *changes)) for p in presets)
    return f"{recipe_name(base)}+{name}", changed


def fitting(presets: Sequence[Preset], *, both_lights: bool) -> Preset | None:
    """The preset that learns on such data; None where there is none."""
    return next((one for one in presets if one.seeks_across_light() == both_lights), None)
