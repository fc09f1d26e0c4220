"""Chooses the people that pick the best weights, and scores them during training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from crosslight.config import DataConfig
from crosslight.data.layouts import get_layout
from crosslight.data.table import SampleTable
from crosslight.errors import DataError
from crosslight.evaluation.features import Features
from crosslight.evaluation.protocols import get_protocol
from crosslight.methods.contract import Method
from crosslight.training.embedding import embed_table
from crosslight.types import Modality

VALIDATION_TRIALS = 3
_FEWEST_PEOPLE = 2

ACROSS_LIGHT = "regdb/visible-to-thermal"
"""Of a table of one's own in both lights: every visible image seeks among all infrared ones."""


def split_people(
    table: SampleTable, config: DataConfig, *, seed: int
) -> tuple[SampleTable, SampleTable | None]:
    """Training rows and the rows of other people for model selection; never test people.

    Raises:
        DataError: The data set has no `val` split, or too few people to hold any out.
    """
    table = table.with_range(config.deep_range)
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


def _training_rows(table: SampleTable, config: DataConfig) -> SampleTable:
    present = sorted(set(table.splits.tolist()))
    wanted = config.train_splits
    if not set(wanted) & set(present):
        raise DataError(
            f"{table.layout} at {table.root} has no images in split {' or '.join(wanted)}; its "
            f"splits are {', '.join(present)}: write {wanted[0]} into the column split of the "
            f"table, or say --set data.train_splits=[{present[0]}] to train on those."
        )
    train = table.split(*wanted).of_known()
    if not len(train):
        raise DataError(
            f"Nobody in split {' or '.join(wanted)} of {table.root} is known: ids below 0 are "
            "junk; number the people 0, 1, 2, ..."
        )
    return train


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
    name = validation_protocol(table)
    features = Features(
        feats=feats,
        pids=table.pids,
        cams=table.cams,
        modality=table.modality,
        split=None if _in_both_lights(table) else _first_of_each_camera(table),
        paths=np.array(table.relative_paths),
    )
    return get_protocol(name).evaluate(features, trials=VALIDATION_TRIALS).mean


def _first_of_each_camera(table: SampleTable) -> np.ndarray:
    """Queries: each person's first image of each camera; gallery: the rest."""
    seen: set[tuple[int, int]] = set()
    splits = []
    for pid, cam in zip(table.pids.tolist(), table.cams.tolist(), strict=True):
        splits.append("gallery" if (pid, cam) in seen else "query")
        seen.add((pid, cam))
    return np.array(splits)
