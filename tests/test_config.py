import dataclasses
import math
import typing
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from crosslight.config import (
    DataConfig,
    Recipe,
    build,
    load_recipe,
    parse_recipe,
    recipe_names,
    to_plain,
)
from crosslight.errors import ConfigError, CrosslightError
from crosslight.registry import did_you_mean, method_class, method_names


def minimal(**changes: Any) -> dict[str, Any]:
    return {"method": "agw", **changes}


def test_defaults_recipe_override_in_this_order(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("method: agw\ndata: {height: 128, width: 64}\ntraining: {seed: 4}\n")
    config = load_recipe(str(recipe), ["training.seed=7", "data.augmentation.erasing=0.5"])
    assert config.data.height == 128
    assert config.data.ids_per_batch == DataConfig().ids_per_batch
    assert config.training.seed == 7
    assert config.data.augmentation.erasing == 0.5


def test_plain_values_and_back_are_the_same_configuration():
    config = parse_recipe(minimal(data={"train_splits": ["train", "val"]}), where="test")
    assert config.data.train_splits == ("train", "val")
    assert parse_recipe(to_plain(config), where="test") == config


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        (minimal(dta={}), "unknown key dta; did you mean 'data'?"),
        (minimal(data={"heightt": 3}), "unknown key data.heightt; did you mean 'height'?"),
        (minimal(data={"augmentation": {"flop": 1}}), "unknown key data.augmentation.flop"),
        (minimal(data={"height": "tall"}), "sets data.height to 'tall'"),
        (minimal(data={"sampling": "sideways"}), "sets data.sampling to 'sideways'"),
        (minimal(config={"bakbone": "resnet50"}), "did you mean 'backbone'?"),
        (minimal(data=3), "needs keys and values at data"),
        ({"method": "agv"}, "did you mean 'agw'?"),
        ({"data": {}}, "names no method"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(mapping, sentence):
    with pytest.raises(ConfigError) as error:
        parse_recipe(mapping, where="recipe x")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("data: {height: 8}\ndata: {width: 8}", "the key data stands twice"),
        ("data: {height: 8, width: 8, height: 9}", "the key height stands twice"),
        ("data: {workers: yes}", "sets data.workers to true, which is no number"),
        ("config: {lr: true}", "sets config.lr to true, which is no number"),
        ("data: {augmentation: {flip: on}}", "augmentation.flip to true, which is no number"),
        ("training: {validate_every: 1:30}", "sets training.validate_every to '1:30'"),
        ("data: {augmentation: {erasing_area: [0.4, 0.02]}}", "from 0.4 to 0.02; give the smaller"),
        ("data: {augmentation: {erasing_aspect: [3, 0.3]}}", "from 3 to 0.3; give the smaller"),
    ],
)
def test_what_yaml_would_take_for_something_else_is_refused(tmp_path, text, sentence):
    (tmp_path / "mine.yaml").write_text(f"method: agw\n{text}\n")
    with pytest.raises(ConfigError, match=sentence):
        load_recipe(str(tmp_path / "mine.yaml"))


def test_whole_numbers_are_decimal_and_truth_stays_where_it_is_asked_for(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "\ufeffmethod: agw\ntraining: {seed: 010, compile: yes, checkpoint_every: 1_000}\n"
        "data: {augmentation: {channel_exchange: true, erasing: .5, erasing_area: [2.e-2, 1]}}\n"
    )
    config = load_recipe(str(recipe), ["data.ids_per_batch=08", "training.lr_factor=1e-1"])
    assert (config.training.seed, config.training.checkpoint_every) == (10, 1000)
    assert (config.data.ids_per_batch, config.training.lr_factor) == (8, 0.1)
    assert config.training.compile
    assert config.data.augmentation.channel_exchange
    assert config.data.augmentation.erasing_area == (0.02, 1.0)


def test_a_mapping_may_be_merged_into_another(tmp_path):
    recipe = tmp_path / "merged.yaml"
    recipe.write_text(
        "method: agw\n"
        "data:\n  augmentation:\n    <<: {flip: 0.25, erasing: 0.5}\n    erasing: 0.75\n"
    )
    augmentation = load_recipe(str(recipe)).data.augmentation
    assert (augmentation.flip, augmentation.erasing) == (0.25, 0.75)


def test_a_recipe_in_another_encoding_is_told(tmp_path):
    (tmp_path / "mine.yaml").write_bytes("method: agw  # Größe\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not UTF-8; save it as such"):
        load_recipe(str(tmp_path / "mine.yaml"))


def test_unknown_recipe_suggests_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'demo'"):
        load_recipe("demos")


@pytest.mark.parametrize("override", ["training.seed", "=3", "training.seed=[1"])
def test_a_malformed_override_is_refused(override):
    with pytest.raises(ConfigError, match="--set"):
        load_recipe("demo", [override])


def test_a_recipe_that_is_not_yaml_is_refused(tmp_path):
    recipe = tmp_path / "broken.yaml"
    recipe.write_text("method: [agw\n")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_recipe(str(recipe))


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid_and_says_how_to_run_it(name):
    config = load_recipe(name)
    assert isinstance(config, Recipe)
    assert isinstance(config.config, method_class(config.method).Config)


@pytest.mark.parametrize("name", method_names())
def test_every_method_config_is_frozen_and_keyword_only(name):
    config = build(method_class(name).Config, {}, where="test")
    assert dataclasses.is_dataclass(config)
    field = dataclasses.fields(config)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, field, None)


def test_without_a_near_name_all_are_listed():
    assert did_you_mean("zzz", ["b", "a"]) == "; known are a, b."


def numbers(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Key and type of every number of a configuration, at any depth."""
    for name, hint in typing.get_type_hints(cls).items():
        parts = [part for part in (hint, *typing.get_args(hint)) if isinstance(part, type)]
        inner = next((part for part in parts if dataclasses.is_dataclass(part)), None)
        if inner is not None:
            yield from numbers(inner, f"{prefix}{name}.")
        elif {int, float} & {hint, *typing.get_args(hint)}:
            yield f"{prefix}{name}", hint


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def as_wide(hint: Any, number: float) -> Any:
    """A number as a value of the type: itself, or in each place of a tuple."""
    if typing.get_origin(hint) is not tuple:
        return number
    parts = typing.get_args(hint)
    return [number] * (1 if parts[-1] is Ellipsis else len(parts))


OUT_OF_RANGE = (-1, math.nan, math.inf, -math.inf, 10**12, 10**400)


@pytest.mark.parametrize("name", method_names())
def test_no_number_of_a_method_is_negative_endless_or_none(name):
    cls = method_class(name)
    found = list(numbers(cls.Config, "config."))
    assert found
    for key, hint in found:
        for number in OUT_OF_RANGE:
            text = f"{key}={as_wide(hint, number)}"
            mapping = {"method": name, **nested(key, as_wide(hint, number))}
            with pytest.raises(ConfigError, match=r"expected|finite|integer|valid number") as error:
                parse_recipe(mapping, where="recipe x", overrides=[text])
            assert f"The setting {text} sets {key}" in str(error.value)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    inner = {k: merged(below[k], v) for k, v in above.items() if isinstance(below.get(k), dict)}
    return {**below, **above, **inner}


def complaint(cls: type, changes: dict[str, Any]) -> str | None:
    """What is said where a small method is built with some values."""
    try:
        config = build(cls.Config, merged(cls.small, changes), where="test")
        with torch.device("meta"):
            method = cls(config, num_ids=6, height=64, width=32)
        assert method.stages()
        method.optimizers()
    except CrosslightError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", method_names())
def test_zero_is_refused_or_can_be_built_with(name):
    """Zero is where a size, a length or a count is most often not thought of."""
    cls = method_class(name)
    together: dict[str, Any] = {}
    for key, hint in numbers(cls.Config):
        zero = nested(key, as_wide(hint, 0))
        try:
            build(cls.Config, merged(cls.small, zero), where="test")
        except ConfigError:
            continue
        if float in {hint, *typing.get_args(hint)}:
            together = merged(together, zero)  # these change no shape
            continue
        said = complaint(cls, zero)
        assert said is None or key.rpartition(".")[2] in said
    said = complaint(cls, together)
    assert said is None or any(key in said for key in together)


@pytest.mark.parametrize("place", ["data", "training"])
def test_no_number_of_the_data_or_the_loop_is_negative_endless_or_none(place):
    cls = typing.get_type_hints(Recipe)[place]
    for key, hint in numbers(cls, f"{place}."):
        for number in OUT_OF_RANGE:
            if key == "training.seed" and number == 10**12:
                continue
            if key == "data.augmentation.erasing_value" and number == -1:
                continue  # darker than the mean by one deviation
            mapping = minimal(**nested(key, as_wide(hint, number)))
            with pytest.raises(ConfigError) as error:
                parse_recipe(mapping, where="recipe x")
            assert key in str(error.value)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.workers=-1", "expected a number from 0 to 1,024."),
        ("data.height=0", "expected a number from 8 to 8,192."),
        ("data.augmentation.flip=1.5", "expected a number from 0 to 1."),
        ("data.augmentation.erasing_area=[0.1, 2]", "sets data.augmentation.erasing_area to 2"),
        ("data.ids_per_batch=0", "expected a number from 1 to 1,000,000,000."),
        ("training.clip_norm=0", "expected a number above 0, up to 1,000,000,000."),
        ("config.epochs=0", "expected a number from 1 to"),
        ("config.lr=-1", "expected a number from 0 to"),
        ("config.lr=.nan", "expected a number from 0 to"),
        ("config.epoch=3", "has the unknown key config.epoch; did you mean 'epochs'?"),
        ("data=3", "needs keys and values at data"),
    ],
)
def test_a_mistake_in_a_setting_is_told_as_its_own(override, expected):
    with pytest.raises(ConfigError) as error:
        load_recipe("demo", ["training.seed=2", override])
    assert str(error.value).startswith(f"The setting {override} ")
    assert expected in str(error.value)
    assert "?." not in str(error.value)
