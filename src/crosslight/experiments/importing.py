"""Makes an ordinary run of the files that another program released."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crosslight.config import Recipe, load_recipe, to_plain
from crosslight.errors import CheckpointError, ConfigError
from crosslight.experiments.run import Run
from crosslight.files import folder_made_whole, sha256_of, write_text
from crosslight.released.contract import Settings, System
from crosslight.released.files import OPTION_FILES, read_networks, read_options
from crosslight.released.systems import Recognised, recognised, system_named
from crosslight.shipped import CARD
from crosslight.training.run import RunFolder, bare_method
from crosslight.training.weights import ModelCard, disk_faults_told, save_weights

_SHOWN = 3
NOBODY = 1
"""People of a network whose files know none."""
_COUNTS = "num_batches_tracked"
"""Old files lack it, and nothing but a momentum of None reads it."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What released files hold, in the names and the configuration of here.

    Attributes:
        system: Which program.
        program: What is known of it.
        recipe: The configuration.
        people: How many it was trained on; None: the files do not tell.
        weights: By their names here.
        files: Each checkpoint, and what of the program it is.
        kept: How many tensors were taken.
        left_out: Why → original names.
        untrained: Beginning of names here that no file fills → what needs them.
        warnings: What may be wrong all the same.
    """

    system: str
    program: System
    recipe: Recipe
    people: int | None
    weights: Mapping[str, Tensor]
    files: Mapping[Path, str]
    kept: int
    left_out: Mapping[str, tuple[str, ...]]
    untrained: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...]


def import_files(
    system: str, files: Sequence[Path], out: Path, *, overrides: Sequence[str] = ()
) -> Gathered:
    """Brings the weights of a released program into a new run folder.

    Args:
        system: Which program; see `crosslight.released.systems.SYSTEMS`.
        files: Its checkpoints, in any order, and its YAML files.
        out: Run folder; missing or empty.
        overrides: `key.subkey=value`, as for `crosslight train --set`.

    Raises:
        ConfigError: No such system, a run that is there already, or options that do not fit.
        CheckpointError: A file that is damaged, carries code, belongs to something else or is
            missing; weights that do not fit together.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not empty; give another --out, a new folder.")
    gathered = gather(system, files, overrides=overrides)
    method = bare_method(gathered.recipe, num_ids=gathered.people or NOBODY)
    refuse_misfits(gathered, method.state_dict())
    method.load_state_dict(dict(gathered.weights), strict=False)
    with disk_faults_told(out), folder_made_whole(out) as folder:
        _write(folder, gathered, method)
    return gathered


def import_released(
    system: str, files: Sequence[Path | str], out: Path | str, *, overrides: Sequence[str] = ()
) -> Run:
    """Makes a run of the files that another program released, and opens it.

    Args:
        system: `agw`, `bdtr`, `caj`, `cmpig`, `d2rl`, `dgnet`, `hicmd` or `proposed-2020`.
        files: Its checkpoints, in any order, and its YAML files.
        out: Run folder; missing or empty.
        overrides: `key.subkey=value`, such as `data.height=256`.

    Raises:
        ConfigError: No such system, a run that is there already, or options that do not fit.
        CheckpointError: A file that is damaged, carries code, belongs to something else or is
            missing; weights that do not fit together.
    """
    import_files(system, [Path(file) for file in files], Path(out), overrides=overrides)
    return Run(out)


def gather(system: str, files: Sequence[Path], *, overrides: Sequence[str] = ()) -> Gathered:
    """Reads released files; every name in them is kept or left out by a rule.

    The configuration is that of the recipe for as many people, then what the shapes say, then the
    program's own YAML where it is among the files, then `overrides`. The rest is as of
    `import_files`.
    """
    program = system_named(system)
    options = [read_options(path) for path in files if path.suffix.lower() in OPTION_FILES]
    checkpoints = [path for path in files if path.suffix.lower() not in OPTION_FILES]
    found = recognised(system, {path: read_networks(path) for path in checkpoints})
    names = _Names(found)
    program.finish(names.weights)
    people = _people(program, system, names.weights)
    given = {file.piece.name for file in found}
    absent = [piece for piece in program.pieces if piece.name not in given]
    return Gathered(
        system=system,
        program=program,
        recipe=_recipe(program, system, names.weights, people, options, overrides),
        people=people,
        weights=names.weights,
        files={file.path: f"{file.piece.name}, {file.piece.holds}" for file in found},
        kept=names.kept,
        left_out={why: tuple(originals) for why, originals in names.left_out.items()},
        untrained={
            **{part: piece.needed_for for piece in absent for part in piece.parts},
            **program.absent,
        },
        warnings=tuple(names.warnings),
    )


def refuse_misfits(gathered: Gathered, own: Mapping[str, Tensor]) -> None:
    """Checks that the weights make one network, and leave out only what is said to be untrained.

    Args:
        gathered: The weights.
        own: The state of the network that they are for.

    Raises:
        CheckpointError: They do not.
    """
    weights, optional = gathered.weights, tuple(gathered.untrained)
    constant = {n for n in own for rule in gathered.program.constants if re.fullmatch(rule, n)}
    missing = [
        name
        for name in own
        if name not in weights
        and name not in constant
        and not name.startswith(optional)
        and not name.endswith(_COUNTS)
    ]
    unknown = [name for name in weights if name not in own]
    misshapen = [
        f"{name} {tuple(tensor.shape)} where {tuple(own[name].shape)} is expected"
        for name, tensor in weights.items()
        if name in own and own[name].shape != tensor.shape
    ]
    for said, names in (
        ("lack", missing),
        ("have more than the network, such as", unknown),
        ("have another shape of", misshapen),
    ):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise CheckpointError(
                f"The files do not make one network: they {said} {', '.join(names[:_SHOWN])}"
                f"{more}; give files of one training, or say with --set how it was configured."
            )


class _Names:
    """The weights of all files by their names here, and what was left out of them."""

    def __init__(self, found: Sequence[Recognised]) -> None:
        self.weights: dict[str, Tensor] = {}
        self.left_out: dict[str, list[str]] = {}
        self.warnings: list[str] = []
        self.kept = 0
        for file in found:
            for key, weights in file.networks.items():
                for original, tensor in weights.items():
                    self._take(file, key, original, tensor)

    def _take(self, file: Recognised, key: str, original: str, tensor: Tensor) -> None:
        table = file.piece.tables[key]
        here = table.here(original)
        if here is None:
            self.left_out.setdefault(str(table.reason(original)), []).append(original)
            alarm = table.alarm(original, tensor)
            if alarm is not None and alarm not in self.warnings:
                self.warnings.append(alarm)
            return
        self.kept += 1
        before = self.weights.setdefault(here, tensor)
        if before is not tensor and not torch.equal(before, tensor):
            raise CheckpointError(
                f"{original} of {file.path} is not what another of the files has for it; give "
                "files of one training, and of one iteration."
            )


def _people(program: System, system: str, weights: Mapping[str, Tensor]) -> int | None:
    if program.people is None:
        return None
    if program.people not in weights:
        raise CheckpointError(
            f"The files of {system} have no classifier ({program.people} here), which tells how "
            "many people they were trained on; give the checkpoint as the program saved it."
        )
    return len(weights[program.people])


def _recipe(
    program: System,
    system: str,
    weights: Mapping[str, Tensor],
    people: int | None,
    options: Sequence[Settings],
    overrides: Sequence[str],
) -> Recipe:
    if options and program.options is None:
        raise ConfigError(f"No YAML is known of {system}; leave it out, and say --set KEY=VALUE.")
    own = program.options(options) if program.options is not None else {}
    settings = {**program.settings(weights), **own}
    name = program.recipes.get(people or 0, next(iter(program.recipes.values())))
    texts = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return load_recipe(name, [*texts, *overrides])


def _write(out: Path, gathered: Gathered, method: nn.Module) -> None:
    recipe, source = gathered.recipe, {"imported": gathered.system}
    folder = RunFolder.create(out, recipe, data=source, alone=True)
    card = ModelCard(
        method=recipe.method,
        config=to_plain(recipe.config),
        num_ids=gathered.people or NOBODY,
        height=recipe.data.height,
        width=recipe.data.width,
        interpolation=recipe.data.interpolation,
        stage="imported",
        iteration=0,
        data=source,
        untrained=tuple(dict.fromkeys(chain.from_iterable(gathered.untrained.values()))),
    )
    save_weights(folder.model_path, method, card)
    content: dict[str, Any] = {
        "about": f"Weights of {gathered.program.about}, imported; their licence is their authors'.",
        "system": gathered.system,
        "people": gathered.people,
        "files": [
            {"name": path.name, "is": told, "sha256": sha256_of(path)}
            for path, told in gathered.files.items()
        ],
        "left_out": gathered.left_out,
        "untrained": gathered.untrained,
        "warnings": gathered.warnings,
        "sha256": sha256_of(folder.model_path),
    }
    write_text(out / CARD, json.dumps(content, indent=2) + "\n")
