"""Recipes: YAML in, frozen dataclasses out, strict about every key."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import yaml

from crosslight.errors import ConfigError
from crosslight.ranges import (
    Count,
    Part,
    Pixels,
    Positive,
    Range,
    Reading,
    Seed,
    Share,
    Workers,
    misfit,
)
from crosslight.registry import did_you_mean, is_file_method, method_class, trust_file_method
from crosslight.types import DeepRange, Interpolation

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
Padding = Annotated[int, Range(0, 8192)]
Threads = Annotated[int, Range(1, 1024)]
Deviations = Annotated[float, Range(-3, 3)]
RUN_KEYS = ("crosslight", "code_sha256", "data_set")
"""What a run's `config.yaml` holds besides a recipe."""
RECIPES = resources.files("crosslight") / "recipes"
_INT, _MERGE = "tag:yaml.org,2002:int", "tag:yaml.org,2002:merge"


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """What happens to a training image. Probabilities in [0, 1], lengths in pixels.

    Attributes:
        flip: Probability of a horizontal flip.
        pad_px: Padding on every side before the random crop back to size; 0 turns it off.
        pad_mode: What the padding holds: zeros, or the nearest pixel of the image.
        erasing: Probability that a rectangle is filled (Zhong et al. 2020).
        erasing_area: Smallest and largest erased part of the image area.
        erasing_aspect: Smallest and largest height of a rectangle over its width.
        erasing_value: Red, green and blue of the filling, in units of ImageNet's deviations from
            its mean: 0 is the mean colour.
        color_jitter: Strength of brightness, contrast and saturation jitter; 0 turns it off.
        grayscale: Probability that a visible image is made gray.
        channel_exchange: CAJ's channel augmentation (Ye et al., ICCV 2021): every visible image
            enters twice, plain and with one of its channels copied to all three; infrared images
            get a random channel weight.
    """

    flip: Share = 0.5
    pad_px: Padding = 10
    pad_mode: Literal["zeros", "edge"] = "zeros"
    erasing: Share = 0.0
    erasing_area: tuple[Part, Part] = (0.02, 0.4)
    erasing_aspect: tuple[Positive, Positive] = (0.3, 1 / 0.3)
    erasing_value: tuple[Deviations, Deviations, Deviations] = (0.0, 0.0, 0.0)
    color_jitter: Share = 0.0
    grayscale: Share = 0.0
    channel_exchange: bool = False

    def __post_init__(self) -> None:
        for name in ("erasing_area", "erasing_aspect"):
            low, high = getattr(self, name)
            if low > high:
                raise ConfigError(
                    f"data.augmentation.{name} goes from {low:g} to {high:g}; give the smaller "
                    "one first."
                )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Image size, batches and the people held out for choosing the best weights.

    Attributes:
        height: Image height in pixels.
        width: Image width in pixels.
        interpolation: How every image is brought to that size, in training and wherever the
            trained model is used. All three filter when they shrink, as Pillow's do.
        train_splits: Splits to train on. SYSU-MM01 papers train on train and val together;
            then choose `validation: holdout` or `none`.
        validation: Where the people for model selection come from: the `val` split, a part of
            the training people held out, or nowhere (the last weights are kept).
        holdout_fraction: Part of the training people that `holdout` takes.
        sampling: `cross-modal`: P people x (visible + infrared) images; `identity`: P x K
            whatever the light; `pairs`: P images, each followed by another one of the same
            person, whatever the light, the halves of P from two shuffles that know nothing of
            each other (DG-Net); `light-pairs`: the same with partners in the same light, and
            `across_light` (DG-Net across spectra).
        visits: Of `identity`: people come about equally often, or `by-images` in proportion to
            their images, as fast-reid's sampler has it: in a pass over the data everybody is as
            likely as anybody else to be drawn until fewer than K of their images are left.
        sites: Of `cross-modal`: `apart` takes the people of a batch from one site, so that they are
            told apart by themselves and not by their surroundings. A site is the cameras that
            people share, directly or through others; SYSU-MM01 is one site.
        ids_per_batch: P.
        visible_per_id: Visible images per person in a cross-modal batch.
        infrared_per_id: Infrared images per person in a cross-modal batch.
        images_per_id: K of the `identity` sampling.
        across_light: Of `light-pairs`: the part of the exchanges between halves in which a
            visible image meets an infrared one, of another person as in all of them; None leaves
            both to chance.
        iterations_per_epoch: None: as many as show each training image once on average.
        deep_range: The values of black and of white in images of one channel with more than 8
            bits, as thermal cameras write them; what lies beyond is cut off. None: 0 and the
            largest value of the format.
        workers: Processes that load images; the batches do not depend on it.
        augmentation: See `AugmentationConfig`.
    """

    height: Pixels = 288
    width: Pixels = 144
    interpolation: Interpolation = "bilinear"
    train_splits: tuple[str, ...] = ("train",)
    validation: Literal["val", "holdout", "none"] = "val"
    holdout_fraction: Part = 0.1
    sampling: Literal["cross-modal", "identity", "pairs", "light-pairs"] = "cross-modal"
    visits: Literal["equal", "by-images"] = "equal"
    sites: Literal["mixed", "apart"] = "mixed"
    ids_per_batch: Count = 8
    visible_per_id: Count = 4
    infrared_per_id: Count = 4
    images_per_id: Count = 4
    across_light: Share | None = None
    iterations_per_epoch: Count | None = None
    deep_range: tuple[Reading, Reading] | None = None
    workers: Workers = 2
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        require_range(self.deep_range, "data.deep_range")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the loop runs; nothing here belongs to a method.

    Attributes:
        seed: Initial weights, batch order and every random draw follow from it.
        precision: Arithmetic of the forward pass. `auto`: `bf16-mixed` where the device computes in
            it, else `32-true`, because in software it takes twice as long; decided when a training
            begins and kept by it.
        threads: CPU threads of the training process; None leaves it to torch. Resuming is exact
            only with the same number. One beside loading processes is the fastest for small
            networks and the only steady choice where others use the cores too.
        channels_last: Memory format of images and convolutions; faster on CPU and GPU.
        compile: Compiles the method's networks with torch.compile.
        validate_every: Epochs between two validations.
        checkpoint_every: Iterations between two checkpoints for resuming.
        preview_every: Iterations between two sheets of what a drawing method draws; 0: none.
        lr_factor: Multiplies every learning rate of the method, that of each optimizer alike.
        clip_norm: Largest gradient norm of an update; None leaves gradients alone.
        log_every: Iterations between two lines of the log.
    """

    seed: Seed = 0
    precision: Precision = "32-true"
    threads: Threads | None = None
    channels_last: bool = True
    compile: bool = False
    validate_every: Count = 5
    checkpoint_every: int = 500
    preview_every: int = 500
    lr_factor: Positive = 1.0
    clip_norm: Positive | None = None
    log_every: int = 10


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training, besides the data itself.

    Attributes:
        method: Name in the registry, or `FILE.py:CLASS`, beginning at the recipe's folder.
        config: The method's own `Config`.
        data: See `DataConfig`.
        training: See `TrainingConfig`.
    """

    method: str
    config: Any
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def require_range(deep_range: DeepRange | None, name: str) -> None:
    """Makes sure that black is below white.

    Raises:
        ConfigError: It is not, or one of them is no number.
    """
    if deep_range is None:
        return
    low, high = deep_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(
            f"{name} goes from {low:g} to {high:g}; give the value of black and the larger one of "
            "white, like 2900 3200."
        )


def recipe_names() -> list[str]:
    """The recipes that ship with crosslight."""
    return sorted(entry.name.removesuffix(".yaml") for entry in RECIPES.iterdir())


def load_recipe(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """Loads a recipe by name or path; precedence is default < recipe < override.

    Args:
        recipe: Name of a shipped recipe, or path of a YAML file; a run's `config.yaml` is one.
        overrides: `key.subkey=value` with a YAML value, e.g. `training.seed=3`.

    Raises:
        ConfigError: No such recipe, an unknown key, a value that does not fit.
    """
    content = _override(_read_yaml(recipe), overrides)
    of_a_run = [content.pop(key) for key in RUN_KEYS if key in content]
    method = str(content.get("method"))
    if is_file_method(method) and not of_a_run:
        content["method"] = trust_file_method(method, Path(recipe).parent)
    return parse_recipe(content, where=f"recipe {recipe}", overrides=overrides)


def parse_recipe(
    mapping: Mapping[str, Any], *, where: str, overrides: Sequence[str] = ()
) -> Recipe:
    """Builds a `Recipe` from plain values, strictly.

    Args:
        mapping: Plain values.
        where: What they stand in, for the sentence about a mistake.
        overrides: `key=value` that are in `mapping` already; a mistake in one is told as its own.

    Raises:
        ConfigError: An unknown key (the nearest known one is suggested) or an unfit value.
    """
    if "method" not in mapping:
        raise ConfigError(f"The {where} names no method; add a line such as `method: agw`.")
    method = method_class(str(mapping["method"]))
    source = _Source(where=where, overrides=overrides)
    own = _build(method.Config, mapping.get("config") or {}, source, prefix="config.")
    rest = _build(Recipe, {**mapping, "config": None}, source)
    return dataclasses.replace(rest, config=own)


def to_plain(config: Any) -> Any:
    """The configuration as nested dicts and lists, for YAML or JSON."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, tuple | list):
        return [to_plain(value) for value in config]
    if isinstance(config, Mapping):
        return {key: to_plain(value) for key, value in config.items()}
    return config


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested plain values by their full names, such as `training.seed`."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def build(cls: type[T], mapping: Mapping[str, Any], *, where: str) -> T:
    """Builds a dataclass from plain values, refusing unknown keys and unfit values.

    Raises:
        ConfigError: With the key's full name, what was found and what was expected.
    """
    return _build(cls, mapping, _Source(where=where))


@dataclass(frozen=True, kw_only=True)
class _Source:
    where: str
    overrides: Sequence[str] = ()

    def of(self, key: str) -> str:
        """How a sentence begins that is about a key."""
        for text in reversed(self.overrides):
            name = text.partition("=")[0]
            if name == key or key.startswith(f"{name}."):
                return f"The setting {text}"
        return f"The {self.where}"


def _build(cls: type[T], mapping: Mapping[str, Any], source: _Source, prefix: str = "") -> T:
    from pydantic import ValidationError

    _refuse_unknown_keys(cls, mapping, source, prefix)
    _refuse_truth_for_numbers(cls, mapping, source, prefix)
    made_once: Any = cls
    try:
        built: T = _adapter(made_once).validate_python(dict(mapping))
    except ValidationError as error:
        first = error.errors()[0]
        key = prefix + ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{source.of(key)} sets {key} to {first['input']!r}: {first['msg'].lower()}."
        ) from error
    _refuse_misfits(built, source, prefix)
    return built


@lru_cache(maxsize=256)
def _adapter(cls: Any) -> TypeAdapter[Any]:
    """Made once of a class: making it takes longer than all that it validates."""
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def _refuse_unknown_keys(cls: type[Any], mapping: Any, source: _Source, prefix: str) -> None:
    if not isinstance(mapping, Mapping):
        place = prefix.rstrip(".")
        raise ConfigError(
            f"{source.of(place)} needs keys and values at {place or 'its top'}, found {mapping!r}."
        )
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    for key, value in mapping.items():
        full = f"{prefix}{key}"
        if key not in known:
            raise ConfigError(
                f"{source.of(full)} has the unknown key {full}{did_you_mean(str(key), known)}"
            )
        inner = _dataclass_in(hints[key])
        if inner is not None and value is not None:
            _refuse_unknown_keys(inner, value, source, f"{full}.")


def _refuse_truth_for_numbers(
    cls: type[Any], mapping: Mapping[str, Any], source: _Source, prefix: str
) -> None:
    """True would become 1, as would yes and on."""
    hints = typing.get_type_hints(cls)
    for name, value in mapping.items():
        inner = _dataclass_in(hints[name])
        if inner is not None and isinstance(value, Mapping):
            _refuse_truth_for_numbers(inner, value, source, f"{prefix}{name}.")
        elif isinstance(value, bool) and not _takes_truth(hints[name]):
            key = f"{prefix}{name}"
            raise ConfigError(
                f"{source.of(key)} sets {key} to {str(value).lower()}, which is no number and no "
                "word here; give one."
            )


def _takes_truth(hint: Any) -> bool:
    if typing.get_origin(hint) is Literal:
        return any(isinstance(value, bool) for value in typing.get_args(hint))
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return any(map(_takes_truth, typing.get_args(hint)))
    return hint in (bool, Any, object)


def _refuse_misfits(built: Any, source: _Source, prefix: str) -> None:
    hints = typing.get_type_hints(type(built), include_extras=True)
    for entry in dataclasses.fields(built):
        value, key = getattr(built, entry.name), f"{prefix}{entry.name}"
        if dataclasses.is_dataclass(value):
            _refuse_misfits(value, source, f"{key}.")
            continue
        fault = misfit(hints[entry.name], value)
        if fault is not None:
            found, expected = fault
            raise ConfigError(
                f"{source.of(key)} sets {key} to {found!r}, expected a number {expected}."
            )


def _dataclass_in(hint: Any) -> type[Any] | None:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return next((o for o in options if isinstance(o, type) and dataclasses.is_dataclass(o)), None)


def read_recipe_text(recipe: str) -> str:
    """The YAML text of a shipped recipe, or of the file at a path.

    Raises:
        ConfigError: Neither a recipe's name nor a readable file.
    """
    if recipe in recipe_names():
        return (RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8")
    if Path(recipe).is_file():
        try:
            return Path(recipe).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(f"The recipe {recipe} is not UTF-8; save it as such.") from error
    raise ConfigError(
        f"No recipe {recipe!r}, nor a YAML file of that name{did_you_mean(recipe, recipe_names())}"
    )


class _Strict(yaml.SafeLoader):
    """YAML whose keys stand once and whose whole numbers are decimal: 010 is 10, 1:30 is text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuses a key that stands twice, of which the last would count.

        Raises:
            ConstructorError: One does.
        """
        seen: list[Any] = []
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:  # `<<`, whose keys are those of another mapping
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key} stands twice", key_node.start_mark
                )
            seen.append(key)
        return super().construct_mapping(node, deep)

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        """A whole number."""
        return int(self.construct_scalar(node))


_Strict.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if tag != _INT]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Strict.add_implicit_resolver(_INT, re.compile(r"[-+]?[0-9]+(_[0-9]+)*$"), list("-+0123456789"))
_Strict.add_constructor(_INT, _Strict.construct_decimal)


def _yaml(text: str) -> Any:
    # Nothing but plain values comes of it, as of `safe_load`.
    return yaml.load(text, Loader=_Strict)


def _read_yaml(recipe: str) -> dict[str, Any]:
    try:
        content = _yaml(read_recipe_text(recipe))
    except yaml.YAMLError as error:
        raise ConfigError(f"The recipe {recipe} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"The recipe {recipe} holds no keys; start with `method: NAME`.")
    return content


def _override(content: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {text} is not key=value, e.g. --set training.seed=3.")
        *parents, last = key.split(".")
        place = content
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                place[parent] = {}
            place = place[parent]
        try:
            place[last] = _yaml(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {text}: the value is not YAML ({error}).") from error
    return content
