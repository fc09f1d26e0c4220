"""What is to be said of a released program before its files can become a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import Tensor

from crosslight.errors import ConfigError
from crosslight.released.rules import Table

Weights: TypeAlias = Mapping[str, Tensor]
Settings: TypeAlias = Mapping[str, Any]
"""Keys of a recipe, such as `config.dim`, and their values."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One file of a set.

    Attributes:
        name: As the original program names it.
        holds: What is in it, in words.
        tables: Key in the file → rules. A piece of one network has the key '', whatever its file
            calls it.
        parts: Beginnings of the names here that it fills.
        needed_for: What cannot be done where it is not given; nothing: it must be given. Each
            `crosslight.types.Doing`, and `code NAME`, will be refused.
        called: Regular expression for the beginning of its file's name, where two pieces hold
            the same names.
    """

    name: str
    holds: str
    tables: Mapping[str, Table]
    parts: tuple[str, ...] = ()
    needed_for: tuple[str, ...] = ()
    called: str | None = None


def nothing_more(_: dict[str, Tensor]) -> None:
    """For a system whose names alone change."""


@dataclass(frozen=True, kw_only=True)
class System:
    """A released program.

    Attributes:
        method: What its networks are called here.
        about: Whose program it is.
        pieces: Its files.
        recipes: People that it was trained on → recipe whose settings it had; the first is taken
            where their number is another.
        settings: Weights by their names here → what they say of the configuration.
        people: Name here of the classifier's weights, with a row for each person; None: the files
            know nobody.
        options: What the program's own YAML files say of the configuration; None: it has none.
        constants: Regular expressions for names here that are the same in every run.
        absent: Beginning of names here that no file has → what needs them, as `needed_for`.
        finish: Changes values, where a name alone is not enough.
        flags: Of `crosslight evaluate`, as its test program scored.
    """

    method: str
    about: str
    pieces: tuple[Piece, ...]
    recipes: Mapping[int, str]
    settings: Callable[[Weights], Settings]
    people: str | None
    options: Callable[[Sequence[Settings]], Settings] | None = None
    constants: tuple[str, ...] = ()
    absent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    finish: Callable[[dict[str, Tensor]], None] = nothing_more
    flags: str = ""


_RESNETS: Mapping[tuple[int | bool, ...], str] = {
    (2, 2, 2, 2, False): "resnet18.tv_in1k",
    (3, 4, 6, 3, False): "resnet34.tv_in1k",
    (3, 4, 6, 3, True): "resnet50.tv_in1k",
    (3, 4, 23, 3, True): "resnet101.tv_in1k",
    (3, 8, 36, 3, True): "resnet152.tv_in1k",
}


def resnet_named(weights: Weights, start: str) -> dict[str, str]:
    """`config.backbone` of a torchvision ResNet whose names begin so; nothing if it is none."""
    blocks = [count_of(weights, f"{start}layer{n}.") for n in range(1, 5)]
    name = _RESNETS.get((*blocks, f"{start}layer1.0.conv3.weight" in weights))
    return {} if name is None else {"config.backbone": name}


def count_of(weights: Weights, start: str) -> int:
    """How many numbers follow a beginning, as 3 in `a.0.x`, `a.1.x`, `a.2.x` after `a.`."""
    return len({k.removeprefix(start).split(".")[0] for k in weights if k.startswith(start)})


def critic_scales(weights: Weights, start: str) -> dict[str, int]:
    """`config.critic_scales` of critics whose names begin so; nothing where none was given."""
    scales = count_of(weights, start)
    return {"config.critic_scales": scales} if scales else {}


def widths(weights: Weights, named: Mapping[str, str]) -> dict[str, int]:
    """First dimensions: key of a recipe → name here; what is not there is passed over."""
    return {key: len(weights[name]) for key, name in named.items() if name in weights}


def heard(content: Settings, only: Settings, ours: Mapping[str, str], name: str) -> dict[str, Any]:
    """What a YAML file of the original program says, by our keys.

    Args:
        content: Of the file.
        only: Its keys that can have one value here.
        ours: Its keys that are a setting here → key of a recipe.
        name: Of the method.

    Raises:
        ConfigError: One of `only` has another value.
    """
    for key, value in only.items():
        if content.get(key, value) != value:
            raise ConfigError(
                f"The training's YAML has {key}: {content[key]}, but {name} here knows only "
                f"{key}: {value}; its weights would load and be wrong."
            )
    return {own: content[key] for key, own in ours.items() if key in content}
