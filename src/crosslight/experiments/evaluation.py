"""Embeds a test set with a trained run, keeps the embeddings, and scores them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslight.config import build
from crosslight.data.columns import as_parquet
from crosslight.data.layouts import parse_data_argument, read_layout
from crosslight.data.naming import name_of_data
from crosslight.data.splits import TEST_SPLITS
from crosslight.data.table import SampleTable, read_table
from crosslight.errors import ConfigError, CrosslightError, DataError
from crosslight.evaluation.features import Features, load_features, write_features
from crosslight.evaluation.protocols import Result, format_table, get_protocol
from crosslight.evaluation.reranking import Refinement, check_refinement
from crosslight.evaluation.scoring import check_distance
from crosslight.experiments.costs import cpu_seconds
from crosslight.experiments.options import Evaluating, refuse_unit_views_alone
from crosslight.exporting.card import is_exported
from crosslight.exporting.exported import Exported
from crosslight.files import require_folder, written_together
from crosslight.training.devices import device_of
from crosslight.training.embedding import embed_table
from crosslight.training.run import RunFolder
from crosslight.types import DeepRange, Distance

FEATURES, TABLE, SETTINGS = "features.npz", "table.parquet", "settings.json"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run was evaluated; kept beside its features.

    Attributes:
        layout: Name of the layout.
        title: How tables call the data set.
        root: Its folder.
        trial: Split number.
        protocols: Protocols scored.
        distance: How embeddings were compared.
        sampler: Gallery sampler of sysu-mm01.
        permutations: File of the official sampler, or None.
        flip: Whether mirror images were added.
        unit_views: Whether the two were brought to length 1 first.
        code: The method's code that was compared; None: its embedding.
    """

    layout: str
    title: str
    root: str
    trial: int
    protocols: tuple[str, ...]
    distance: str
    sampler: str
    permutations: str | None
    flip: bool
    unit_views: bool = False
    code: str | None = None

    @property
    def told(self) -> str:
        """What was chosen of how to score, for the line above a table."""
        said = [f"{self.distance} distance"]
        said += [f"code {self.code}"] if self.code else []
        if self.flip:
            said.append("mirror images added" + ", each of length 1 first" * self.unit_views)
        if self.draws_galleries:
            said.append(f"{self.sampler} galleries")
        return ", ".join(said)

    @property
    def draws_galleries(self) -> bool:
        """Whether a sampler decides who answers."""
        return any(name.startswith("sysu-mm01/") for name in self.protocols)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A scored run.

    Attributes:
        settings: How it was scored.
        table: The test rows, as embedded.
        features: Their embeddings.
        results: Protocol → result.
        chance: Protocol → what guessing would score, computed exactly.
        refined: Protocol → its results after each refinement that was asked for, by names of
            their own.
        cpu_s: CPU-seconds that embedding took, see `cpu_seconds`; None where it was done before.
    """

    settings: Settings
    table: SampleTable
    features: Features
    results: Mapping[str, Result]
    chance: Mapping[str, Result]
    refined: Mapping[str, tuple[Result, ...]] = field(default_factory=dict)
    cpu_s: float | None = None

    def __str__(self) -> str:
        return f"{self.settings.title}, {self.settings.told}\n{format_table(self.to_json())}"

    def to_json(self) -> dict[str, Any]:
        """Protocol → scores and rules as of `crosslight score`, `path`, `chance`, `refined`."""
        entries: dict[str, Any] = {}
        for name, result in self.results.items():
            entry = {**result.to_json(), "path": result.path}
            if self.refined.get(name):
                entry["refined"] = [
                    {**refined.to_json(), "path": refined.path} for refined in self.refined[name]
                ]
            entries[name] = {**entry, "chance": self.chance[name].to_json()}
        return entries


def evaluate_run(
    run: Path,
    data: str,
    how: Evaluating | None = None,
    *,
    refinements: Sequence[Refinement] = (),
    out: Path | None = None,
) -> Evaluation:
    """Scores a run, and writes `evaluation/` and `metrics.json` into its folder.

    Those of weights that ship go into a folder of their name here; `out` is another one for any.

    With a `code` one of the method's codes is scored in place of its embedding, by the cosine
    unless another distance is asked for; the names become `evaluation-CODE/` and
    `metrics-CODE.json`. Each of `refinements` is scored beside the plain ranking and stands in
    `metrics.json` only: the report shows the plain one.

    Raises:
        ConfigError: The run was trained on another split of this data set, or the distance does
            not fit the refinements.
    """
    how = how or Evaluating()
    code = how.code
    refuse_unit_views_alone(how)
    subject = _export(run, how) if is_exported(run) else _run(run, how)
    if out is not None and out.resolve() not in {run.resolve(), subject.known_as.resolve()}:
        _refuse_other_run(out)
    out = out or subject.known_as
    require_folder(evaluation_folder(out, code))
    layout, root = parse_data_argument(data)
    _refuse_other_split(subject, layout.name, how.trial)
    table = tested(read_layout(layout.name, root, trial=how.trial))
    table = table.with_range(subject.deep_range)
    distance = check_distance(how.distance or ("cosine" if code else subject.distance))
    for refinement in refinements:
        check_refinement(refinement, distance)
    settings = Settings(
        layout=layout.name,
        title=name_of_data(layout, root),
        root=str(root.resolve()),
        trial=how.trial,
        protocols=tuple(how.protocols) or layout.protocols,
        distance=distance,
        sampler=how.sampler,
        permutations=str(how.permutations.resolve()) if how.permutations else None,
        flip=subject.flip,
        unit_views=subject.unit_views,
        code=code,
    )
    # Before the images are embedded, which may take long: asks all that the protocols refuse.
    chance = _chance(settings, features_of(table, np.zeros((len(table), 1), dtype=np.float32)))
    before = cpu_seconds()
    features = features_of(table, subject.embed(table))
    took = cpu_seconds() - before
    evaluation = replace(_score(settings, table, features, chance, refinements), cpu_s=took)
    _write(out, evaluation)
    return evaluation


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """What is scored: a run, or an exported model."""

    known_as: Path
    trained_on: Mapping[str, Any]
    distance: Distance
    deep_range: DeepRange | None
    flip: bool
    unit_views: bool
    embed: Callable[[SampleTable], NDArray[np.float32]]


def _run(run: Path, how: Evaluating) -> _Subject:
    folder = RunFolder.open(run)
    folder.refuse_untrained("embedding")
    if how.code is not None:
        folder.refuse_untrained(f"code {how.code}")
    config, method = folder.load_config(), folder.load_method()

    def embed(table: SampleTable) -> NDArray[np.float32]:
        return embed_table(
            method,
            table,
            height=config.data.height,
            width=config.data.width,
            interpolation=config.data.interpolation,
            workers=how.workers,
            device=device_of(how.accelerator),
            flip=how.flip,
            unit_views=how.unit_views,
            precision=config.training.precision,
            code=how.code,
        )

    return _Subject(
        known_as=folder.known_as,
        trained_on=folder.load_data(),
        distance=method.distance,
        deep_range=config.data.deep_range,
        flip=how.flip,
        unit_views=how.unit_views,
        embed=embed,
    )


def _export(run: Path, how: Evaluating) -> _Subject:
    model = Exported(run, device="cuda" if how.accelerator == "cuda" else None)
    card = model.card
    if how.code is not None:
        raise ConfigError(f"{run} is an exported model, which has no codes; leave --code out.")
    if how.flip > card.flip or how.unit_views > card.unit_views:
        raise ConfigError(
            f"{run} was exported without --{'flip' if how.flip > card.flip else 'unit-views'}, "
            "which is a part of its graph; export the run with it, or leave it out."
        )

    def embed(table: SampleTable) -> NDArray[np.float32]:
        return model.embed(table.paths, modality=table.modality)

    return _Subject(
        known_as=run,
        trained_on=card.data,
        distance=card.distance,
        deep_range=card.deep_range,
        flip=card.flip,
        unit_views=card.unit_views,
        embed=embed,
    )


def features_of(table: SampleTable, feats: NDArray[np.float32]) -> Features:
    """The embeddings of a table's images, as protocols take them."""
    return Features(
        feats=feats,
        pids=table.pids,
        cams=table.cams,
        modality=table.modality,
        split=table.splits,
        paths=np.array(table.relative_paths),
    )


def tested(table: SampleTable) -> SampleTable:
    """The rows that are scored.

    Raises:
        DataError: There are none.
    """
    present = set(table.splits)
    splits = [split for split in TEST_SPLITS if split in present]
    if not splits:
        raise DataError(
            f"{table.root} has no images in split test, query or gallery to score; its splits are "
            f"{', '.join(sorted(present))}: write test, or query and gallery, into the column "
            "split of the table."
        )
    return table.split(*splits)


def _write(run: Path, evaluation: Evaluation) -> None:
    """After the scores stand, and all at once: a failure leaves the last evaluation as it was."""
    settings = evaluation.settings
    place, suffix = (
        evaluation_folder(run, settings.code),
        f"-{settings.code}" if settings.code else "",
    )
    metrics = evaluation.to_json()
    with written_together(
        *(place / name for name in (FEATURES, TABLE, SETTINGS)), run / f"metrics{suffix}.json"
    ) as (features_file, table_file, settings_file, metrics_file):
        write_features(features_file, evaluation.features)
        table_file.write(as_parquet(evaluation.table.frame))
        settings_file.write(f"{json.dumps(asdict(settings), indent=2)}\n".encode())
        metrics_file.write(f"{json.dumps(metrics, indent=2)}\n".encode())


def load_evaluation(run: Path | str, *, code: str | None = None) -> Evaluation:
    """The last evaluation of a run, or of one of its codes, scored again from its features.

    Raises:
        ConfigError: The run, or that code, has not been evaluated.
    """
    run = Path(run)
    place = evaluation_folder(run, code)
    by_code, flag = (f" by its code {code}", f" --code {code}") if code else ("", "")
    again = f"crosslight evaluate {run} --data LAYOUT:ROOT{flag}"
    if not (place / SETTINGS).exists():
        raise ConfigError(f"{run} has not been evaluated{by_code}; say: {again}")
    try:
        settings = _read_settings(place / SETTINGS)
        stored = read_table(place / TABLE)
        features = load_features(place / FEATURES)
    except (CrosslightError, OSError) as error:
        raise ConfigError(
            f"The last evaluation of {run} cannot be used: {error} Evaluate it again: {again}"
        ) from error
    if len(stored) != len(features.feats):
        raise ConfigError(
            f"The last evaluation of {run} has {len(stored)} rows in {TABLE} and "
            f"{len(features.feats)} in {FEATURES}; evaluate it again: {again}"
        )
    table = SampleTable(layout=settings.layout, root=Path(settings.root), frame=stored.frame)
    return _score(settings, table, features, _chance(settings, features))


def _read_settings(path: Path) -> Settings:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is damaged ({error}).") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no settings.")
    return build(Settings, content, where=f"file {path}")


def _score(
    settings: Settings,
    table: SampleTable,
    features: Features,
    chance: Mapping[str, Result],
    refinements: Sequence[Refinement] = (),
) -> Evaluation:
    results, refined = {}, {}
    options = _drawing(settings)
    for name in settings.protocols:
        protocol = get_protocol(name)
        results[name] = protocol.evaluate(features, distance=settings.distance, **options)
        refined[name] = tuple(
            protocol.evaluate(features, distance=settings.distance, refinement=how, **options)
            for how in refinements
        )
    return Evaluation(
        settings=settings,
        table=table,
        features=features,
        results=results,
        chance=chance,
        refined=refined,
    )


def _chance(settings: Settings, features: Features) -> dict[str, Result]:
    options = _drawing(settings)
    return {name: get_protocol(name).chance(features, **options) for name in settings.protocols}


def _drawing(settings: Settings) -> dict[str, Any]:
    return {"sampler": settings.sampler, "permutations": _permutations(settings)}


def _permutations(settings: Settings) -> Path | None:
    if settings.permutations is not None:
        return Path(settings.permutations)
    return Path(settings.root) if settings.sampler == "official" else None


def _refuse_other_run(out: Path) -> None:
    if is_exported(out) or RunFolder(path=out).config_path.exists():
        raise ConfigError(
            f"{out} is another run, whose own evaluation would be lost; give --out a folder of "
            "its own."
        )


def _refuse_other_split(subject: _Subject, layout: str, trial: int) -> None:
    trained = subject.trained_on
    if trained.get("layout") == layout and trained.get("trial", trial) != trial:
        raise ConfigError(
            f"{subject.known_as} was trained on split {trained['trial']} of {layout}; split "
            f"{trial} tests people it has seen. Say --trial {trained['trial']}."
        )


def evaluation_folder(run: Path, code: str | None = None) -> Path:
    """Where the last evaluation of a run lies, or of one of its codes."""
    return run / (f"evaluation-{code}" if code else "evaluation")


def is_evaluated(run: Path) -> bool:
    """Whether a folder is a run that has been evaluated."""
    return (evaluation_folder(run) / SETTINGS).is_file()
