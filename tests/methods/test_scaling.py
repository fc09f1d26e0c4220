"""Every registered method's configuration can be put on another number of images."""

from __future__ import annotations

import dataclasses
import re
import typing
from typing import Any

import pytest

from crosslight.config import build
from crosslight.methods.contract import Stage
from crosslight.methods.dgnet import DGNetConfig
from crosslight.methods.scaling import Counts, MethodConfig, counted
from crosslight.registry import method_class, method_names

COUNTS_ITERATIONS = re.compile(r"iteration|ramp_start|lr_steps|teacher_warmup")
"""In the names of fields: they count iterations, whatever their type says."""
COUNTS_EPOCHS = re.compile(r"epochs$")
PER_EPOCH = 1000


@pytest.fixture(params=method_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _stages(name: str, config: MethodConfig) -> tuple[Stage, ...]:
    built: tuple[Stage, ...] = method_class(name)(config, num_ids=4, height=64, width=32).stages()
    return built


def _configs(config: MethodConfig) -> list[MethodConfig]:
    inner = [getattr(config, field.name) for field in dataclasses.fields(config)]
    return [config, *(i for i in inner if isinstance(i, MethodConfig))]


def _small(name: str, **overrides: Any) -> MethodConfig:
    cls = method_class(name)
    config: MethodConfig = build(cls.Config, {**cls.small, **overrides}, where="test")
    return config


@pytest.mark.parametrize("factor", [0.37, 3.0])
def test_images_seen_are_factor_times_as_many(name: str, factor: float) -> None:
    marked = counted(method_class(name).Config)
    long = {key: 500 for key in marked if key.endswith("iterations")}
    config = _small(name, **long)
    before, after = _stages(name, config), _stages(name, config.scaled(factor))
    assert [stage.name for stage in after] == [stage.name for stage in before]
    per_epoch = round(PER_EPOCH * factor)
    for old, new in zip(before, after, strict=True):
        length = old.iterations or (old.epochs or 0) * PER_EPOCH
        scaled = new.iterations or (new.epochs or 0) * per_epoch
        assert scaled == pytest.approx(factor * length, abs=1)


def test_whatever_counts_iterations_moves(name: str) -> None:
    default = method_class(name).Config()
    for before, after in zip(_configs(default), _configs(default.scaled(2)), strict=True):
        for field in dataclasses.fields(before):
            old, new = getattr(before, field.name), getattr(after, field.name)
            if isinstance(old, MethodConfig):
                continue
            if old is None:
                assert new is None, field.name
                continue
            if COUNTS_ITERATIONS.search(field.name):
                doubled = tuple(2 * place for place in old) if isinstance(old, tuple) else 2 * old
                assert new == doubled, field.name
            elif field.name == "ramp_step":
                assert new == pytest.approx(old / 2)
            else:
                assert new == old, field.name


def test_every_number_that_counts_iterations_says_so(name: str) -> None:
    """A field that is declared anew in a subclass must not lose what its type says."""
    for config in _configs(method_class(name).Config()):
        marks = counted(type(config))
        for key in typing.get_type_hints(type(config)):
            assert (key in marks) == bool(
                COUNTS_ITERATIONS.search(key) or COUNTS_EPOCHS.search(key) or key == "ramp_step"
            ), key
            assert (marks.get(key) is Counts.EPOCHS) == bool(COUNTS_EPOCHS.search(key)), key


def test_epochs_move_alone_where_their_length_cannot(name: str) -> None:
    default = method_class(name).Config()
    scaled = default.scaled(1.0, epochs=2.0)
    for before, after in zip(_configs(default), _configs(scaled), strict=True):
        for field in dataclasses.fields(before):
            old, new = getattr(before, field.name), getattr(after, field.name)
            if isinstance(old, MethodConfig):
                continue
            if COUNTS_EPOCHS.search(field.name):
                old = tuple(2 * place for place in old) if isinstance(old, tuple) else 2 * old
            assert new == old, field.name


def test_nothing_vanishes_by_rounding(name: str) -> None:
    default = method_class(name).Config()
    scaled = default.scaled(1e-9)
    for key, count in counted(type(default)).items():
        value = getattr(scaled, key)
        if count is Counts.ITERATIONS and value is not None and not isinstance(value, tuple):
            assert value == (1 if getattr(default, key) else 0), key


def test_what_never_begins_never_begins_on_other_images_either() -> None:
    assert DGNetConfig(ramp_start=None).scaled(2).ramp_start is None
