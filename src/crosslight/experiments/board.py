"""What a leaderboard compares and under which budget: `board.yaml`, kept from the first call on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crosslight.config import Recipe, build, load_recipe, to_plain
from crosslight.data.layouts import parse_data_argument, read_layout
from crosslight.data.naming import name_of_data
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError
from crosslight.experiments.budget import images_seen
from crosslight.experiments.options import Filling
from crosslight.experiments.rows import alone
from crosslight.experiments.systems import SYSTEMS, Preset, fitting, named_system
from crosslight.experiments.validation import split_people
from crosslight.files import require_folder, sha256_of, write_text
from crosslight.methods.beginning import beginning_of
from crosslight.ranges import Count, Part, Pixels, Positive, Seed, Trial
from crosslight.training.devices import fastest_precision

NAME = "board.yaml"
IGNORED = ".gitignore"
SEEDS = (0, 1, 2)
TRY_SHARE = 1.0
"""A part of the images chooses rates that are too small where a start knows something: the fewer
images, the more of the score is what it knew. BDTR on Promenade: with a quarter a tenth of its rate
is best (50.7, the whole rate 47.6), with all images the whole one (52.0, 59.8)."""
_FIXED = ("images", "backbone", "weights", "height", "width", "rates", "try_share", "trial")
_OWN = {
    "data.validation": "every system keeps its last weights, and people choose rates by --rates",
    "training.seed": "give --seeds",
}
"""Keys of a recipe that are the same in every row, or a row's own, with what to do instead."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set of a board; where it lies is every machine's own matter.

    Attributes:
        title: How tables call it.
        fingerprint: Of its rows.
        both_lights: Whether its people are seen in both lights.
        images: All of them.
    """

    title: str
    fingerprint: str
    both_lights: bool
    images: int


@dataclass(frozen=True, kw_only=True)
class Board:
    """What all systems of a board have in common, and who and what is on it.

    Attributes:
        images: Training images that every system sees.
        backbone: Every network that has learnt before.
        weights: What these begin from: a name, or that of a file.
        sha256: Digest of that file.
        height: Image height in pixels.
        width: Image width in pixels.
        train_splits: Splits to train on.
        precision: Arithmetic of the forward pass.
        rates: Factors of the learning rates that are tried before.
        try_share: Part of `images` that a try sees.
        trial: Split number.
        set: Changes of every system.
        seeds: In the order in which they came; with the first one learning rates are tried.
        systems: Name → presets; the first one is what the others are compared with.
        data: Layout → data set.
    """

    images: Count
    backbone: str
    weights: str
    sha256: str | None = None
    height: Pixels
    width: Pixels
    train_splits: tuple[str, ...]
    precision: str
    rates: tuple[Positive, ...] = ()
    try_share: Part = TRY_SHARE
    trial: Trial = 1
    set: tuple[str, ...] = ()
    seeds: tuple[Seed, ...]
    systems: dict[str, tuple[Preset, ...]]
    data: dict[str, DataSet]


@dataclass(frozen=True, kw_only=True)
class Given:
    """A data set as a call names it.

    Attributes:
        argument: `LAYOUT:ROOT`.
        root: Its folder.
        table: Its rows.
        known: What the board keeps of it.
    """

    argument: str
    root: Path
    table: SampleTable
    known: DataSet


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A board and the part of it that a call works on.

    Attributes:
        board: With what the call has added.
        data: Layout → data set, as given.
        named: Presets of the systems that it names.
        systems: Names of those that it works on.
        seeds: Of the trainings.
        weights: What networks begin from, as a recipe names it: for a file its path here.
    """

    board: Board
    data: Mapping[str, Given]
    named: Mapping[str, tuple[Preset, ...]]
    systems: Sequence[str]
    seeds: Sequence[int]
    weights: str


def read_board(folder: Path) -> Board | None:
    """The board of a folder; None where there is none yet.

    Raises:
        ConfigError: `board.yaml` is damaged or something else.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no keys; it is no leaderboard of crosslight.")
    return build(Board, content, where=f"file {path}")


def asked_of(folder: Path, data: Sequence[str], how: Filling) -> Asked:
    """The board of a folder, or a new one, with what a call adds to it; nothing is written.

    Raises:
        ConfigError: The call contradicts the board or itself, or the folder holds something else.
        DataError: A data set cannot be read.
    """
    _refuse_foreign(folder)
    _refuse_twice("--seeds", how.seeds)
    _refuse_twice("--rates", how.rates)
    _refuse_the_boards_own(how.overrides)
    found = [named_system(text) for text in how.systems]
    _refuse_twice("--systems", [name for name, _ in found])
    named = dict(found)
    begun = read_board(folder)
    _refuse_files_that_lie_elsewhere(folder, begun, named)
    given = _given(folder, data, how.trial or (begun.trial if begun else 1))
    _refuse_unfit(named, given)
    board = _begun(named, given, how) if begun is None else _confirmed(folder, begun, how)
    board = _extended(folder, board, named, given, how)
    _refuse_idle(folder, board, given)
    systems = [*named] or [
        name
        for name, presets in board.systems.items()
        if any(fitting(presets, both_lights=one.known.both_lights) for one in given.values())
    ]
    return Asked(
        board=board,
        data=given,
        named=named,
        systems=systems,
        seeds=how.seeds or board.seeds,
        weights=_weights(folder, board, how),
    )


def keep_board(folder: Path, asked: Asked, how: Filling) -> Board:
    """Begins the board of a folder, or adds to it what a call brings.

    Returns:
        The board as it is kept: not the one that was asked for where another process has begun or
        added to it since.

    Raises:
        ConfigError: Another process has begun another board there since.
    """
    require_folder(folder)
    with alone(folder):
        begun = read_board(folder)
        board = asked.board if begun is None else _confirmed(folder, begun, how)
        board = _extended(folder, board, asked.named, asked.data, how)
        if board == begun:
            return board
        if begun is None:
            write_text(folder / IGNORED, "runs/\n.*\n!.gitignore\n")
        text = yaml.safe_dump(to_plain(board), sort_keys=False, width=100)
        write_text(folder / NAME, text)
    return board


def _given(folder: Path, data: Sequence[str], trial: int) -> dict[str, Given]:
    if not data:
        raise ConfigError(
            f"Nothing says where the data lies; add --data LAYOUT:ROOT, or --only-table to write "
            f"the table of {folder} again."
        )
    given: dict[str, Given] = {}
    for argument in data:
        layout, root = parse_data_argument(argument)
        if layout.name in given:
            raise ConfigError(
                f"--data names two data sets of the layout {layout.name}; give each a board."
            )
        table = read_layout(layout.name, root, trial=trial)
        known = DataSet(
            title=name_of_data(layout, root),
            fingerprint=table.fingerprint(),
            both_lights=len(set(table.modality.tolist())) > 1,
            images=len(table),
        )
        given[layout.name] = Given(argument=argument, root=root, table=table, known=known)
    return given


def _begun(
    named: Mapping[str, tuple[Preset, ...]], given: Mapping[str, Given], how: Filling
) -> Board:
    """A new board; what no flag says is as the first system's recipe has it."""
    systems = dict(named) or {
        name: presets
        for name, presets in SYSTEMS.items()
        if any(fitting(presets, both_lights=one.known.both_lights) for one in given.values())
    }
    name, presets = next(iter(systems.items()))
    data, preset = next(
        (one, preset)
        for one in given.values()
        if (preset := fitting(presets, both_lights=one.known.both_lights))
    )
    recipe = load_recipe(preset.recipe, (*preset.set, *how.overrides))
    backbone, weights = _beginning(name, recipe, how)
    is_file = Path(weights).expanduser().is_file()
    precision = recipe.training.precision
    return Board(
        images=how.images or _images_of(recipe, data.table),
        backbone=backbone,
        weights=Path(weights).name if is_file else weights,
        sha256=sha256_of(Path(weights).expanduser()) if is_file else None,
        height=how.height or recipe.data.height,
        width=how.width or recipe.data.width,
        train_splits=recipe.data.train_splits,
        precision=fastest_precision(how.accelerator) if precision == "auto" else precision,
        rates=how.rates,
        try_share=how.try_share or TRY_SHARE,
        trial=how.trial or 1,
        set=how.overrides,
        seeds=how.seeds or SEEDS,
        systems=systems,
        data={layout: one.known for layout, one in given.items()},
    )


def _beginning(name: str, recipe: Recipe, how: Filling) -> tuple[str, str]:
    backbone, weights = beginning_of(recipe.config) or (None, None)
    backbone, weights = how.backbone or backbone, how.weights or weights
    if backbone is None or weights is None:
        raise ConfigError(
            f"The first system, {name}, has no network that learnt before; say what the others "
            "begin from: --backbone resnet18-half --weights promenade."
        )
    return backbone, weights


def _images_of(recipe: Recipe, table: SampleTable) -> int:
    untested = dataclasses.replace(recipe.data, validation="none")
    train, _ = split_people(table, untested, seed=0)
    return images_seen(dataclasses.replace(recipe, data=untested), train)


def _confirmed(folder: Path, board: Board, how: Filling) -> Board:
    """The board, if no flag says otherwise; one that tried no rates may begin to."""
    said = {
        **{name: getattr(how, name) for name in _FIXED},
        # A file is known by its digest, see `_weights`.
        "weights": how.weights if board.sha256 is None else None,
        "set": how.overrides,
    }
    for name, wanted in said.items():
        kept = getattr(board, name)
        is_open = name in ("rates", "try_share") and not board.rates
        if wanted and wanted != kept and not is_open:
            flag = f"--{name.replace('_', '-')}"
            old, new = _shown(kept), _shown(wanted)
            raise ConfigError(
                f"The leaderboard {folder} has {name} {old}, but {flag} {new} was asked for; leave "
                f"{flag} out, or give another folder."
            )
    return board


def _shown(value: Any) -> str:
    return (" ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def _extended(
    folder: Path,
    board: Board,
    named: Mapping[str, tuple[Preset, ...]],
    given: Mapping[str, Given],
    how: Filling,
) -> Board:
    for name, presets in named.items():
        if board.systems.get(name, presets) != presets:
            raise ConfigError(
                f"The leaderboard {folder} has another system called {name}; give its recipe "
                "another name."
            )
    for layout, one in given.items():
        kept = board.data.get(layout, one.known)
        # The same rows, drawn in another light or otherwise hard, are other images.
        if (kept.fingerprint, kept.title) != (one.known.fingerprint, one.known.title):
            raise ConfigError(
                f"The leaderboard {folder} is one of {kept.images} images of {kept.title}, but "
                f"{one.argument} holds {one.known.images} of {one.known.title}, or others; give "
                "the same data set, or another folder."
            )
    return dataclasses.replace(
        board,
        rates=board.rates or how.rates,
        try_share=board.try_share if board.rates else how.try_share or board.try_share,
        systems={**board.systems, **named},
        seeds=tuple(dict.fromkeys([*board.seeds, *how.seeds])),
        data={**board.data, **{k: v.known for k, v in given.items() if k not in board.data}},
    )


def _weights(folder: Path, board: Board, how: Filling) -> str:
    """What the networks begin from, as a recipe on this machine names it."""
    if board.sha256 is None:
        return board.weights
    path = Path(how.weights or board.weights).expanduser()
    if not path.is_file() or sha256_of(path) != board.sha256:
        raise ConfigError(
            f"The systems of {folder} begin from the file {board.weights} with the SHA-256 "
            f"{board.sha256[:12]}..., which {path} is not; say where it lies: --weights PATH."
        )
    return str(path.resolve())


def _refuse_foreign(folder: Path) -> None:
    if folder.is_file():
        raise ConfigError(f"{folder} is a file; give a folder for the leaderboard.")
    if not folder.is_dir() or (folder / NAME).is_file():
        return
    found = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    if found:
        raise ConfigError(
            f"{folder} is not empty and holds no leaderboard (no {NAME}); give another folder."
        )


def _refuse_twice(flag: str, values: Sequence[Any]) -> None:
    twice = next((value for n, value in enumerate(values) if value in values[:n]), None)
    if twice is not None:
        raise ConfigError(f"{flag} names {twice} twice; give each once.")


def _refuse_the_boards_own(overrides: Sequence[str]) -> None:
    for text in overrides:
        key = text.partition("=")[0].strip()
        if key in _OWN:
            raise ConfigError(f"--set {key} is not for a leaderboard: {_OWN[key]}.")


def _refuse_files_that_lie_elsewhere(
    folder: Path, board: Board | None, named: Mapping[str, tuple[Preset, ...]]
) -> None:
    for name, presets in board.systems.items() if board else ():
        file = Path(presets[0].recipe).expanduser()
        if file.suffix in (".yaml", ".yml") and not file.is_file() and name not in named:
            raise ConfigError(
                f"The leaderboard {folder} has the system {name} from the file {file}, which is "
                f"not in {Path.cwd()}; give the command in the folder from which it was begun, or "
                "copy the file here."
            )


def _refuse_unfit(named: Mapping[str, tuple[Preset, ...]], given: Mapping[str, Given]) -> None:
    kinds = {one.known.both_lights for one in given.values()}
    for name, presets in named.items():
        if not any(fitting(presets, both_lights=kind) for kind in kinds):
            needs = _lights(both=presets[0].seeks_across_light())
            example = "sysu-mm01:ROOT" if presets[0].seeks_across_light() else "market1501:ROOT"
            raise ConfigError(
                f"The system {name} learns from {needs}, and --data names none; add such a data "
                f"set, {example}, or leave {name} out."
            )


def _refuse_idle(folder: Path, board: Board, given: Mapping[str, Given]) -> None:
    """A data set that no system learns from would stay on the board without a row."""
    for one in given.values():
        both = one.known.both_lights
        if not any(fitting(presets, both_lights=both) for presets in board.systems.values()):
            raise ConfigError(
                f"{one.argument} holds {_lights(both=both)}, from which no system of the "
                f"leaderboard {folder} learns; leave it out, or add a system that does, such as "
                "--systems baseline."
            )


def _lights(*, both: bool) -> str:
    return "images in both lights" if both else "images in visible light alone"
