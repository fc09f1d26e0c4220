import dataclasses
from typing import Any

import pytest

from crosslight.config import (
    DataConfig,
    RunConfig,
    build,
    load_recipe,
    parse_run_config,
    recipe_names,
    to_plain,
)
from crosslight.errors import ConfigError
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
    config = parse_run_config(minimal(data={"train_splits": ["train", "val"]}), where="test")
    assert config.data.train_splits == ("train", "val")
    assert parse_run_config(to_plain(config), where="test") == config


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
        parse_run_config(mapping, where="recipe x")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


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
    assert isinstance(config, RunConfig)
    assert isinstance(config.config, method_class(config.method).Config)


@pytest.mark.parametrize("name", method_names())
def test_every_method_config_is_frozen_and_keyword_only(name):
    config = build(method_class(name).Config, {}, where="test")
    assert dataclasses.is_dataclass(config)
    field = dataclasses.fields(config)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, field, None)


def test_without_a_near_name_all_are_listed():
    assert did_you_mean("zzz", ["b", "a"]) == "; known are a, b"
