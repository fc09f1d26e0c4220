"""Trains named variants of recipes under one budget and seed set, and compares them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from crosslight.config import load_recipe, to_plain
from crosslight.data.layouts import parse_data_argument, read_layout
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError
from crosslight.evaluation.protocols import SCORE_KEYS
from crosslight.experiments.budget import images_seen, overrides_for
from crosslight.experiments.evaluation import Evaluation, evaluate_run
from crosslight.experiments.fitting import Fitting, prepare
from crosslight.experiments.options import Ablating, Evaluating
from crosslight.experiments.validation import split_people
from crosslight.files import require_folder, write_text, written_whole
from crosslight.locking import LOCK_NAME, FolderLock
from crosslight.registry import did_you_mean, method_class
from crosslight.report.ablation import (
    Finished,
    ablation_figure,
    ablation_json,
    ablation_markdown,
    as_rows,
)
from crosslight.training.loop import FitSummary
from crosslight.training.machines import Machines

RESULT = "result.json"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A recipe with something changed.

    Attributes:
        name: Of its rows and folders.
        recipe: Shipped recipe or file.
        switches: Names of the changes.
        overrides: The changes themselves, as for `--set`.
    """

    name: str
    recipe: str
    switches: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training of an ablation, before and after it is done.

    Attributes:
        number: From 1.
        total: Rows asked for.
        name: Of the variant.
        seed: Of the training.
        place: Its run folder.
        state: `begins`, `done`, `was done` by an earlier call, or `elsewhere`: another process
            works on it.
        fitting: Of a row that begins.
        evaluation: Of a row that is done now.
    """

    number: int
    total: int
    name: str
    seed: int
    place: Path
    state: Literal["begins", "done", "was done", "elsewhere"]
    fitting: Fitting | None = None
    evaluation: Evaluation | None = None


def ablate(recipe: str, data: str, out: Path, how: Ablating | None = None) -> Iterator[Row]:
    """Trains what is not trained yet, scores it, and writes `ablation.md`, `.json` and `.png`.

    The three files hold all that the folder has, so an ablation may grow over several calls. Each
    row is given when it begins and when it is done; the next begins when it is asked for. Several
    processes may fill one folder: each takes the rows that no other is at.

    Raises:
        ConfigError: No such recipe or switch, or the folder holds another training of that name.
    """
    how = how or Ablating()
    if not how.seeds:
        raise ConfigError("--seeds names no seed; give one or more, such as --seeds 0 1 2.")
    layout, root = parse_data_argument(data)
    table = read_layout(layout.name, root, trial=how.trial)
    variants = _variants(recipe, how, table)
    require_folder(out)
    total = len(variants) * len(how.seeds)
    for number, (seed, variant) in enumerate((s, v) for s in how.seeds for v in variants):
        place = out / variant.name / f"seed-{seed}"
        own = _overrides(variant, table, how.overrides, seed, how.images)
        row = Row(
            number=number + 1,
            total=total,
            name=variant.name,
            seed=seed,
            place=place,
            state="was done",
        )
        with _claimed(place) as is_ours:
            if not is_ours:
                row = replace(row, state="elsewhere")
            elif _finished_before(place, variant, own, how.protocols or layout.protocols) is None:
                fitting = prepare(
                    variant.recipe,
                    data,
                    place,
                    trial=how.trial,
                    overrides=own,
                    accelerator=how.accelerator,
                )
                yield replace(row, state="begins", fitting=fitting)
                evaluation = _trained(place, fitting, data, how, variant, own)
                row = replace(row, state="done", evaluation=evaluation)
        _compare(out, [v.name for v in variants], title=f"{recipe_name(recipe)} on {data}")
        yield row


def _variants(recipe: str, how: Ablating, table: SampleTable) -> list[Variant]:
    variants = [Variant(name=recipe_name(recipe), recipe=recipe)]
    variants += switched(recipe, how.switches, cumulative=how.cumulative)
    variants += [Variant(name=recipe_name(other), recipe=other) for other in how.against]
    for variant in variants:  # a mistake in the last one should not show after hours
        try:
            _overrides(variant, table, how.overrides, how.seeds[0], how.images)
        except ConfigError as error:
            if not variant.switches:
                raise
            raise ConfigError(f"Variant {variant.name}: {error}") from error
    return variants


def _trained(
    place: Path,
    fitting: Fitting,
    data: str,
    how: Ablating,
    variant: Variant,
    own: Sequence[str],
) -> Evaluation:
    summary = fitting.train_all(Machines(accelerator=how.accelerator))
    evaluating = Evaluating(
        trial=how.trial, protocols=how.protocols, workers=fitting.recipe.data.workers
    )
    evaluation = evaluate_run(place, data, evaluating)
    finished = _finished(variant, own, fitting, summary, evaluation)
    write_text(place / RESULT, json.dumps(asdict(finished), indent=2) + "\n")
    return evaluation


@contextmanager
def _claimed(place: Path) -> Iterator[bool]:
    """Whether the row of a run folder is this process's, which holds while the block runs."""
    require_folder(place.parent)
    lock = FolderLock(place.parent, f".{place.name}{LOCK_NAME}")
    try:
        lock.acquire()
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def recipe_name(recipe: str) -> str:
    """What a recipe, or a recipe's file, is called in the table."""
    return Path(recipe).stem if recipe.endswith((".yaml", ".yml")) else recipe


def switched(recipe: str, switches: Sequence[str], *, cumulative: bool) -> list[Variant]:
    """A variant for each switch; with `cumulative`, for the first, the first two and so on.

    A switch is a name that the recipe's method knows, several of them joined by `+`, or
    `NAME:KEY=VALUE,KEY=VALUE`.

    Raises:
        ConfigError: The method has no such switch.
    """
    known = method_class(load_recipe(recipe).method).switches
    made: list[Variant] = []
    names: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    for switch in switches:
        name, change = _changes(switch, known, recipe)
        names = (*names, name) if cumulative else (name,)
        changes = (*changes, *change) if cumulative else change
        made.append(
            Variant(
                name="+".join([recipe_name(recipe), *names]),
                recipe=recipe,
                switches=names,
                overrides=changes,
            )
        )
    return made


def _changes(
    switch: str, known: Mapping[str, Mapping[str, Any]], recipe: str
) -> tuple[str, tuple[str, ...]]:
    name, colon, settings = switch.partition(":")
    if colon:
        return name, tuple(part.strip() for part in settings.split(",") if part.strip())
    changes: list[str] = []
    for part in name.split("+"):
        if part not in known:
            hint = did_you_mean(part, known) if known else "; its method has none."
            raise ConfigError(
                f"The recipe {recipe} has no switch {part!r}{hint} Any other change is written "
                "NAME:KEY=VALUE, such as slow:config.lr=1e-5."
            )
        changes += [f"{key}={json.dumps(value)}" for key, value in known[part].items()]
    return name, tuple(changes)


def _overrides(
    variant: Variant, table: SampleTable, common: Sequence[str], seed: int, images: int | None
) -> tuple[str, ...]:
    own = (*variant.overrides, *common, f"training.seed={seed}")
    config = load_recipe(variant.recipe, own)
    if images is None:
        return own
    train, _ = split_people(table, config.data, seed=seed)
    return (*own, *overrides_for(config, train, images))


def _finished_before(
    place: Path, variant: Variant, overrides: Sequence[str], protocols: Sequence[str]
) -> Finished | None:
    found = _read(place / RESULT)
    if found is None or not set(protocols) <= set(found.scores):
        return None
    wanted = json.loads(json.dumps(to_plain(load_recipe(variant.recipe, overrides))))
    # A training of that name with other settings is refused where it would be continued.
    return found if found.config == wanted else None


def _finished(
    variant: Variant,
    overrides: Sequence[str],
    fitting: Fitting,
    summary: FitSummary,
    evaluation: Evaluation,
) -> Finished:
    # As the recipe says it: `_finished_before` compares with that, on any machine.
    config = load_recipe(variant.recipe, overrides)
    return Finished(
        variant=variant.name,
        recipe=variant.recipe,
        switches=variant.switches,
        seed=config.training.seed,
        images=images_seen(config, fitting.train),
        iterations=summary.iterations,
        seconds=summary.seconds,
        scores={n: {k: r.mean[k] for k in SCORE_KEYS} for n, r in evaluation.results.items()},
        chance={n: {k: r.mean[k] for k in SCORE_KEYS} for n, r in evaluation.chance.items()},
        config=to_plain(config),
        data=fitting.train.fingerprint(),
    )


def _compare(out: Path, order: Sequence[str], *, title: str) -> None:
    read = (_read(path) for path in sorted(out.glob(f"*/*/{RESULT}")))
    rows = as_rows([finished for finished in read if finished is not None], order)
    if not rows:
        return
    write_text(out / "ablation.md", ablation_markdown(rows, title=title))
    write_text(out / "ablation.json", json.dumps(ablation_json(rows), indent=2) + "\n")
    with written_whole(out / "ablation.png") as file:
        ablation_figure(rows).savefig(file, format="png", dpi=150)


def _read(path: Path) -> Finished | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Finished(**{**content, "switches": tuple(content["switches"])})
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{path} is not the result of an ablation ({error}); remove it, and the variant is "
            "scored again without being trained again."
        ) from error
