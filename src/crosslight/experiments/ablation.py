"""Trains named variants of recipes under one budget and seed set, and compares them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from crosslight.config import Recipe, load_recipe, parse_recipe, to_plain
from crosslight.data.layouts import parse_data_argument, read_layout
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError
from crosslight.evaluation.protocols import SCORE_KEYS
from crosslight.experiments.budget import images_seen, overrides_for
from crosslight.experiments.evaluation import Evaluation, evaluate_run
from crosslight.experiments.fitting import Fitting, prepare
from crosslight.experiments.options import Ablating, Evaluating
from crosslight.experiments.rows import Row, Work, fill
from crosslight.experiments.validation import split_people
from crosslight.experiments.variants import Variant, recipe_name, switched
from crosslight.files import write_text, written_whole
from crosslight.registry import digest_of_method
from crosslight.report.ablation import (
    Finished,
    ablation_figure,
    ablation_json,
    ablation_markdown,
    as_rows,
)
from crosslight.training.loop import FitSummary
from crosslight.training.machines import Machines
from crosslight.training.run import what_differs

RESULT = "result.json"


def ablate(recipe: str, data: str, out: Path, how: Ablating | None = None) -> Iterator[Row]:
    """Trains what is not trained yet, scores it, and writes `ablation.md`, `.json` and `.png`.

    The three files hold all that the folder has, so an ablation may grow over several calls. Each
    row is given when it begins and when it is done; the next begins when it is asked for. Several
    processes may fill one folder: each takes the rows that no other is at.

    Raises:
        ConfigError: No such recipe or switch, or the folder holds another training of that name, or
            scores of another data set.
    """
    how = how or Ablating()
    if not how.seeds:
        raise ConfigError("--seeds names no seed; give one or more, such as --seeds 0 1 2.")
    layout, root = parse_data_argument(data)
    table = read_layout(layout.name, root, trial=how.trial)
    variants = _variants(recipe, how, table)
    scored_on = _ScoredOn(layout=layout.name, trial=how.trial, table=table.fingerprint())
    for path in _results(out):  # one table is of one data set
        scored_on.refuse_another(path)
    trainings = [
        _Training(
            variant,
            seed,
            place=out / variant.name / f"seed-{seed}",
            data=data,
            scored_on=scored_on,
            how=how,
            overrides_with=partial(_overrides, variant, table, how.overrides, how.images),
            protocols=how.protocols or layout.protocols,
        )
        for seed in how.seeds
        for variant in variants
    ]
    for training in trainings:
        training.refuse_another()
    title, order = f"{recipe_name(recipe)} on {data}", [v.name for v in variants]
    yield from fill(out, trainings, lambda: _compare(out, order, title=title))


@dataclass(frozen=True, kw_only=True)
class _ScoredOn:
    """What a result keeps of its data set; see `Finished`."""

    layout: str
    trial: int
    table: str

    def refuse_another(self, path: Path) -> None:
        """Compares with a result; what was not kept yet when it was made is not compared.

        Raises:
            ConfigError: It is one of another data set, or split.
        """
        found = _read(path)
        if found is None:
            return
        for kept, own, before, now in (
            (found.layout, self.layout, f"the layout {found.layout}", self.layout),
            (found.trial, self.trial, f"trial {found.trial}", f"--trial {self.trial}"),
            (found.table, self.table, "other images or people", "this data set"),
        ):
            if kept is not None and kept != own:
                raise ConfigError(
                    f"{path} holds scores on {before}, but {now} was asked for; give another "
                    "--out, or what it was scored on."
                )


class _Training(Work):
    """A variant with a seed."""

    def __init__(
        self,
        variant: Variant,
        seed: int,
        *,
        place: Path,
        data: str,
        scored_on: _ScoredOn,
        how: Ablating,
        overrides_with: Callable[[int], tuple[str, ...]],
        protocols: Sequence[str],
    ) -> None:
        self.name, self.seed, self.place = variant.name, seed, place
        self._variant, self._data, self._how = variant, data, how
        self._scored_on = scored_on
        self._overrides_with, self._protocols = overrides_with, protocols
        self._overrides = overrides_with(seed)
        self._wanted = load_recipe(variant.recipe, self._overrides)
        self._code = digest_of_method(self._wanted.method)

    def was_done(self) -> bool:
        found = _read(self.place / RESULT)
        if found is None or not set(self._protocols) <= set(found.scores):
            return False
        self._scored_on.refuse_another(self.place / RESULT)  # another process may have made it
        self._refuse_another(self.place / RESULT, found)
        return True

    def refuse_another(self) -> None:
        """Compares with the variant's results of every seed: they become one row.

        Raises:
            ConfigError: One is of another recipe, or of other code.
        """
        for path in sorted(self.place.parent.glob(f"*/{RESULT}")):
            if (found := _read(path)) is not None:
                self._refuse_another(path, found)

    def _refuse_another(self, path: Path, found: Finished) -> None:
        overrides = self._overrides_with(found.seed)
        wanted = load_recipe(self._variant.recipe, overrides)
        before = {**found.config}
        if before["method"] == wanted.method:  # what it was made before had its default
            before = to_plain(parse_recipe(before, where=f"configuration in {path}"))
        for key, old, new in what_differs(before, to_plain(wanted)):
            raise ConfigError(
                f"{path.parent} already holds a training with {key} = {old!r}, but {key} = {new!r} "
                f"was asked for; give another --out, or {old!r} again."
            )
        code = digest_of_method(wanted.method)
        if None not in (code, found.code_sha256) and code != found.code_sha256:
            file = Path(wanted.method.rpartition(":")[0]).name
            raise ConfigError(
                f"{path.parent} already holds a training with other code than now stands in "
                f"{file}; give another --out, or put that code back."
            )

    def prepare(self) -> Fitting:
        self.refuse_another()  # the files may have been edited while other rows were trained
        self._wanted = load_recipe(self._variant.recipe, self._overrides)
        self._code = digest_of_method(self._wanted.method)
        return prepare(
            self._variant.recipe,
            self._data,
            self.place,
            trial=self._how.trial,
            overrides=self._overrides,
            accelerator=self._how.accelerator,
        )

    def finish(self, fitting: Fitting) -> Evaluation:
        summary = fitting.train_all(Machines(accelerator=self._how.accelerator))
        evaluating = Evaluating(
            trial=self._how.trial,
            protocols=self._how.protocols,
            workers=fitting.recipe.data.workers,
            accelerator=self._how.accelerator,
        )
        evaluation = evaluate_run(self.place, self._data, evaluating)
        finished = replace(
            _finished(self._variant, self._wanted, fitting, summary, evaluation),
            **asdict(self._scored_on),
            code_sha256=self._code,
        )
        write_text(self.place / RESULT, json.dumps(asdict(finished), indent=2) + "\n")
        return evaluation


def _variants(recipe: str, how: Ablating, table: SampleTable) -> list[Variant]:
    variants = [Variant(name=recipe_name(recipe), recipe=recipe)]
    variants += switched(recipe, how.switches, cumulative=how.cumulative)
    variants += [Variant(name=recipe_name(other), recipe=other) for other in how.against]
    names = [variant.name for variant in variants]
    for number, variant in enumerate(variants):
        if variant.name in names[:number]:
            one = variants[names.index(variant.name)]
            raise ConfigError(
                f"Two variants are called {variant.name}, of {one.recipe} and of {variant.recipe}, "
                "and would share a folder; give one recipe or switch another name, or leave it out."
            )
    for variant in variants:  # a mistake in the last one should not show after hours
        try:
            _overrides(variant, table, how.overrides, how.images, how.seeds[0])
        except ConfigError as error:
            if not variant.switches:
                raise
            raise ConfigError(f"Variant {variant.name}: {error}") from error
    return variants


def _overrides(
    variant: Variant, table: SampleTable, common: Sequence[str], images: int | None, seed: int
) -> tuple[str, ...]:
    own = (*variant.overrides, *common, f"training.seed={seed}")
    config = load_recipe(variant.recipe, own)
    if images is None:
        return own
    train, _ = split_people(table, config.data, seed=seed)
    return (*own, *overrides_for(config, train, images))


def _finished(
    variant: Variant,
    config: Recipe,
    fitting: Fitting,
    summary: FitSummary,
    evaluation: Evaluation,
) -> Finished:
    # The configuration as the recipe says it: `was_done` compares with that, on any machine.
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
    read = (_read(path) for path in _results(out))
    rows = as_rows([finished for finished in read if finished is not None], order)
    if not rows:
        return
    write_text(out / "ablation.md", ablation_markdown(rows, title=title))
    write_text(out / "ablation.json", json.dumps(ablation_json(rows), indent=2) + "\n")
    with written_whole(out / "ablation.png") as file:
        ablation_figure(rows).savefig(file, format="png", dpi=150)


def _results(out: Path) -> list[Path]:
    return sorted(out.glob(f"*/*/{RESULT}"))


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
