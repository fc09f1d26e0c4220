"""Chooses the people that pick the best weights, and scores them during training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.config import DataConfig
from crosslight.data.layouts import get_layout
from crosslight.data.splits import SPLITS, TEST_SPLITS, TRAINING_SPLITS
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError, DataError, ProtocolError
from crosslight.evaluation.features import Features
from crosslight.evaluation.protocols import get_protocol
from crosslight.methods.contract import Method
from crosslight.registry import did_you_mean
from crosslight.training.embedding import embed_table
from crosslight.types import UNKNOWN_CAM, Modality

VALIDATION_TRIALS = 3
_FEWEST_PEOPLE = 2
_ALWAYS_RIGHT = 1 - 1e-9
_LARGER_PARTS = (0.2, 0.3, 0.5)

ACROSS_LIGHT = "regdb/visible-to-thermal"
"""Of a table of one's own in both lights: every visible image seeks among all infrared ones."""


def split_people(
    table: SampleTable, config: DataConfig, *, seed: int
) -> tuple[SampleTable, SampleTable | None]:
    """Training rows and the rows of other people for model selection; never test people.

    Raises:
        DataError: The data set has no `val` split, too few people to hold any out, or none among
            them who could be found, which the first validation would say hours later, or be taken
            for another, which none would say.
        ConfigError: `train_splits` is empty, or names what is no split.
    """
    table = table.with_range(config.deep_range)
    train, held_out = _split(table, config, seed)
    if held_out is not None and not _can_be_scored(held_out):
        raise DataError(_unscored(table, held_out, config, seed))
    return train, held_out


def strangers(table: SampleTable, train_splits: Sequence[str]) -> Literal["val", "holdout"]:
    """The `data.validation` that asks people who are not trained on, as MSMT17's `val` are."""
    val = table.where(pl.col("split") == "val").of_known()
    train = table.where(pl.col("split").is_in(train_splits))
    return "val" if len(val) and not np.isin(val.pids, train.pids).any() else "holdout"


def _split(
    table: SampleTable, config: DataConfig, seed: int
) -> tuple[SampleTable, SampleTable | None]:
    train = _training_rows(table, config)
    if config.validation == "none":
        return train, None
    if config.validation == "val":
        if "val" in config.train_splits:
            raise DataError(
                "The recipe trains on the split val and validates on it too; set "
                "data.validation to holdout or none."
            )
        if "val" not in set(table.splits):
            raise DataError(
                f"{table.layout} has no split val to choose the best weights on; "
                "say --set data.validation=holdout (or none)."
            )
        return train, table.split("val").of_known()
    people = np.unique(train.pids)
    count = max(_FEWEST_PEOPLE, round(len(people) * config.holdout_fraction))
    if count >= len(people):
        raise DataError(
            f"{len(people)} training people are too few to hold {count} out; "
            "say --set data.validation=none."
        )
    held_out = np.random.default_rng([seed, count]).choice(people, count, replace=False)
    is_held_out = np.isin(train.pids, held_out)
    return train.take(np.flatnonzero(~is_held_out)), train.take(np.flatnonzero(is_held_out))


def _can_be_scored(held_out: SampleTable) -> bool:
    """Whether there is somebody to seek and to be confused with; it needs no image to say so."""
    chance = _chance(held_out)
    return chance is not None and chance < _ALWAYS_RIGHT


def _chance(held_out: SampleTable) -> float | None:
    """The mAP of a random order; None where the protocol finds nobody to seek."""
    features = _features(held_out, np.zeros((len(held_out), 1), np.float32))
    protocol = get_protocol(validation_protocol(held_out))
    try:
        return protocol.chance(features, trials=VALIDATION_TRIALS).mean["mAP"]
    except ProtocolError:
        return None


def _unscored(table: SampleTable, held_out: SampleTable, config: DataConfig, seed: int) -> str:
    whose = "of split val" if config.validation == "val" else "held out"
    works = next(_settings_that_work(table, config, seed), None)
    remedy = "data.validation=none" if works is None else f"{works} (or data.validation=none)"
    lack = _lack(held_out)
    return (
        f"The people {whose} ({len(np.unique(held_out.pids))}) cannot choose the best weights: "
        f"{lack} say --set {remedy}."
    )


def _lack(held_out: SampleTable) -> str:
    """Why nobody among them can be found, as far as a protocol leaves only one reason."""
    protocol = validation_protocol(held_out)
    if _chance(held_out) is not None:
        return "nobody stands beside whom they are to be told from, so that every order is right;"
    if _in_both_lights(held_out):
        seen = held_out.frame.group_by("pid").agg(lights=pl.col("modality").n_unique())
        if seen["lights"].max() == 1:
            return "nobody among them is seen in both lights;"
        return f"{protocol} leaves nobody among them to be found;"
    if protocol == "any-camera":
        return "there is one image of each;"
    unknown = int(np.sum(held_out.cams == UNKNOWN_CAM))
    if unknown:
        return f"{unknown} of their {len(held_out)} images have no camera; fill the column cam, or"
    return "each is seen by one camera alone, and is to be found by another;"


def _settings_that_work(table: SampleTable, config: DataConfig, seed: int) -> Iterator[str]:
    """Changes of the recipe by which the people who choose can be scored."""
    others: dict[str, dict[str, Any]] = {}
    if config.validation == "val":
        others["data.validation=holdout"] = {"validation": "holdout"}
    else:
        others["data.validation=val"] = {"validation": "val"}
        for part in _LARGER_PARTS:
            if part > config.holdout_fraction:
                others[f"data.holdout_fraction={part}"] = {"holdout_fraction": part}
    for setting, values in others.items():
        try:
            _, held_out = _split(table, replace(config, **values), seed)
        except DataError:
            continue
        if held_out is not None and _can_be_scored(held_out):
            yield setting


def _training_rows(table: SampleTable, config: DataConfig) -> SampleTable:
    present, wanted = set(table.splits.tolist()), config.train_splits
    if not wanted:
        raise ConfigError(
            "data.train_splits is empty; name what to train on, such as "
            f"--set data.train_splits=[{TRAINING_SPLITS[0]}]."
        )
    for name in wanted:
        # Recipes name val too, which many data sets lack.
        if name not in present and name not in SPLITS:
            likely = present.union(TRAINING_SPLITS).difference(TEST_SPLITS)
            raise ConfigError(
                f"data.train_splits has {name!r}, which is no split of {table.layout} at "
                f"{table.root}{did_you_mean(name, likely)}"
            )
    if not present.intersection(wanted):
        raise DataError(
            f"{table.layout} at {table.root} has no images in split {' or '.join(wanted)}; its "
            f"splits are {', '.join(sorted(present))}: {_where_to_train(table, wanted[0])}."
        )
    train = table.split(*wanted).of_known()
    if not len(train):
        raise DataError(
            f"Nobody in split {' or '.join(wanted)} of {table.root} is known: ids below 0 are "
            "junk; number the people 0, 1, 2, ..."
        )
    return train


def _where_to_train(table: SampleTable, wanted: str) -> str:
    """What to do where nothing is in the splits to train on; never to train on test people."""
    present = set(table.splits.tolist())
    own = table.layout == "table"
    if not own and "train" not in present:
        return "the part to train on is missing; unpack the data set there again"
    # What chooses the weights is not to be learnt from where there is anything else.
    others = sorted(present.difference(TEST_SPLITS), key=lambda name: (name == "val", name))
    setting = f"say --set data.train_splits=[{others[0]}] to train on those" if others else ""
    column = f"write {wanted} into the column split of the table" if own else ""
    if own and not others:
        column += " for images of people who are not tested"
    return ", or ".join(filter(None, (column, setting)))


def _in_both_lights(table: SampleTable) -> bool:
    return set(table.modality.tolist()) == {Modality.VISIBLE, Modality.INFRARED}


def validation_protocol(table: SampleTable) -> str:
    """The protocol that chooses weights: cross-modal where the people are seen in both lights."""
    if _in_both_lights(table):
        return get_layout(table.layout).validation or ACROSS_LIGHT
    return "market1501" if len(set(table.cams.tolist())) > 1 else "any-camera"


def make_validation(
    table: SampleTable, config: DataConfig, *, precision: str
) -> Callable[[Method], Mapping[str, float]]:
    """A function that scores a method on validation people."""
    return partial(_validate, table=table, config=config, precision=precision)


def _validate(
    method: Method, *, table: SampleTable, config: DataConfig, precision: str
) -> Mapping[str, float]:
    feats = embed_table(
        method,
        table,
        height=config.height,
        width=config.width,
        interpolation=config.interpolation,
        workers=config.workers,
        precision=precision,
    )
    protocol = get_protocol(validation_protocol(table))
    return protocol.evaluate(_features(table, feats), trials=VALIDATION_TRIALS).mean


def _features(table: SampleTable, feats: NDArray[np.float32]) -> Features:
    return Features(
        feats=feats,
        pids=table.pids,
        cams=table.cams,
        modality=table.modality,
        split=None if _in_both_lights(table) else queries_and_gallery(table),
        paths=np.array(table.relative_paths),
    )


def queries_and_gallery(table: SampleTable) -> NDArray[np.str_]:
    """Queries: each person's first image of each camera; gallery: the rest.

    Where that rest has fewer than two, or than half, of those who are seen by two cameras, as with
    one image by each, there would be hardly anybody to find, or to be confused with: there the
    queries are a person's images by the camera of the lowest number, the gallery those by others,
    and whoever is seen by one camera.
    """
    people = table.frame.select(
        "pid",
        of_two=pl.col("cam").n_unique().over("pid") > 1,
        is_first=pl.struct("pid", "cam").is_first_distinct(),
        is_lowest=pl.col("cam") == pl.col("cam").min().over("pid"),
    )
    seen_by_two = people.filter("of_two")
    count = seen_by_two["pid"].n_unique()
    left = seen_by_two.filter(~pl.col("is_first"))["pid"].n_unique()
    asks = pl.col("is_first")
    if count and left < max(2, count / 2):
        asks = pl.col("of_two") & pl.col("is_lowest")
    return np.where(people.select(asks).to_series().to_numpy(), "query", "gallery")
