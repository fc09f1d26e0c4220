"""The folder of one training: what it was told, what it did, what it learned."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from crosslight.config import RUN_KEYS, Recipe, build, flat, parse_recipe, to_plain
from crosslight.data.table import SampleTable, read_table
from crosslight.errors import CheckpointError, ConfigError, CrosslightError
from crosslight.files import EXPORT_CARD, write_text
from crosslight.locking import LOCK_NAME
from crosslight.methods.contract import Method
from crosslight.nn.weights import initial_weights_left_out
from crosslight.registry import digest_of_method, method_class
from crosslight.shipped import MODEL, SHIPPED, WEIGHTS, shipped
from crosslight.training.claims import Claim, claim, is_first, is_numbered, taken
from crosslight.training.given_stages import take_given
from crosslight.training.weights import (
    ModelCard,
    disk_faults_told,
    load_card,
    load_state,
    load_weights,
)
from crosslight.version import __version__

_FREE_KEYS = (
    "crosslight",
    "data_set.root",
    "data.workers",
    "training.checkpoint_every",
    "training.log_every",
    "training.preview_every",
)
"""Keys that may change while a training continues: its weights do not depend on them."""

VALIDATED_ON = "validation_fingerprint"
"""Beside `fingerprint` in `data_set`, where people choose the weights; older runs have none."""

_CALLED = {
    "person, camera or light": ("pid", "cam", "modality"),
    "split": ("split",),
    "track": ("track",),
    "time": ("time",),
}


def build_method(config: Recipe, *, num_ids: int) -> Method:
    """A method as its training begins: the seed decides, given stages are taken over.

    No global random state moves.
    """
    method = _build(config, num_ids=num_ids)
    take_given(method)
    return method


def bare_method(config: Recipe, *, num_ids: int) -> Method:
    """A method on the CPU without its initial weights, which others are to replace."""
    with initial_weights_left_out():
        return _build(config, num_ids=num_ids)


def _build(config: Recipe, *, num_ids: int) -> Method:
    cls = method_class(config.method)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.training.seed)
        method: Method = cls(
            config.config, num_ids=num_ids, height=config.data.height, width=config.data.width
        )
    return method


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """`config.yaml`, `log.jsonl`, `tensorboard/`, `checkpoints/` and `model.safetensors`.

    Attributes:
        path: The folder.
        claim: Keeps other processes out until the training that it was created for has ended.
    """

    path: Path
    claim: Claim | None = field(default=None, repr=False, compare=False)

    @classmethod
    def create(
        cls,
        path: Path,
        config: Recipe,
        *,
        data: Mapping[str, Any],
        train: SampleTable | None = None,
        alone: bool = False,
    ) -> RunFolder:
        """Makes the folder, or opens one that holds the same training, and claims it.

        Args:
            path: A folder that is missing, empty or a run.
            config: What will be trained, and how.
            data: What it will be trained on, as plain values, with a `fingerprint`. `root` may
                change when a training continues.
            train: The training rows, kept so that a later call can say how others differ.
            alone: Whoever calls keeps other processes out, and nothing is claimed.

        Raises:
            ConfigError: The folder holds other files or another training, or another process is
                at it.
            TrainingError: The folder cannot be written.
        """
        run = cls(path=path)
        own = digest_of_method(config.method)
        content = {
            "crosslight": __version__,
            **({"code_sha256": own} if own else {}),
            "data_set": dict(data),
            **to_plain(config),
        }
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path} is a file; give another --out, a folder.")
        # Before the lock's file is made: in a folder of other things nothing is.
        _holds_already(run, content, train)
        with disk_faults_told(run.config_path):
            path.mkdir(parents=True, exist_ok=True)
        if alone:
            _write(run, content, train)
            return run
        lock = claim(path)
        if lock is None:
            if is_numbered():  # it may be one of its own; the loop asks again when it knows
                return run
            raise taken(path)
        try:
            if not _holds_already(run, content, train):
                _write(run, content, train)
        except BaseException:
            lock.release()
            raise
        if is_first():
            return cls(path=path, claim=lock)
        lock.release()
        return run

    def refuse_another(self, config: Recipe, train: SampleTable) -> None:
        """Makes sure that a training is still the one that the folder was made for.

        Raises:
            ConfigError: It holds another, made meanwhile.
        """
        if not self.config_path.is_file():
            return
        data = dict(self.load_data())
        if "fingerprint" in data:
            data["fingerprint"] = train.fingerprint()
        content = {
            "code_sha256": digest_of_method(config.method),
            "data_set": data,
            **to_plain(config),
        }
        begun = as_begun(self._content(), config, where=f"configuration {self.config_path}")
        told = _another(self, to_plain(begun), content, train)
        if told is not None:
            raise ConfigError(told)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A run that exists, or weights that ship with crosslight, by their name.

        Raises:
            ConfigError: The folder holds no run.
            CheckpointError: The weights of that name are missing or were changed.
        """
        run = cls(path=path)
        if not run.config_path.is_file():
            if str(path) in SHIPPED:
                return cls(path=shipped(str(path)).folder)
            if (path / EXPORT_CARD).is_file():
                raise ConfigError(
                    f"{path} is an exported model, which embeds and can do nothing else; give the "
                    "run that it was made of."
                )
            raise ConfigError(
                f"{path} is no run folder (no config.yaml); give the --out of a crosslight train, "
                f"or {' or '.join(SHIPPED)} for the weights that come with crosslight."
            )
        return run

    @property
    def known_as(self) -> Path:
        """The folder; of weights that ship, their name, which is a place to write results to."""
        ships = self.path.parent == WEIGHTS and self.path.name in SHIPPED
        return Path(self.path.name) if ships else self.path

    @property
    def config_path(self) -> Path:
        """Method, data and training configuration, data set and version."""
        return self.path / "config.yaml"

    @property
    def table_path(self) -> Path:
        """The training rows; runs that were begun by older versions have none."""
        return self.path / "training.parquet"

    @property
    def log_path(self) -> Path:
        """One JSON object per line."""
        return self.path / "log.jsonl"

    @property
    def tensorboard_path(self) -> Path:
        """Folder for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def previews_path(self) -> Path:
        """Folder of the sheets that were drawn during training, named by the iteration."""
        return self.path / "previews"

    @property
    def checkpoints_path(self) -> Path:
        """Folder of the states that training continues from."""
        return self.path / "checkpoints"

    @property
    def model_path(self) -> Path:
        """The best weights, or the last ones where nothing was validated."""
        return self.path / MODEL

    def load_config(self) -> Recipe:
        """What was trained, and how.

        Raises:
            ConfigError: `config.yaml` is damaged or belongs to another version.
        """
        content = self._content()
        plain = {key: content[key] for key in content if key not in RUN_KEYS}
        return parse_recipe(plain, where=f"configuration {self.config_path}")

    def load_data(self) -> Mapping[str, Any]:
        """What it was trained on, as given to `create`.

        Raises:
            ConfigError: `config.yaml` is damaged.
        """
        data = self._content().get("data_set") or {}
        if not isinstance(data, dict):
            raise ConfigError(f"{self.config_path} says {data!r} of its data_set; it is damaged.")
        return data

    def load_card(self) -> ModelCard:
        """What the weights are weights of.

        Raises:
            CheckpointError: No weights yet, or damaged ones.
        """
        return load_card(self.model_path)

    def load_method(self) -> Method:
        """The trained method on the CPU, in eval mode.

        Raises:
            CheckpointError: No weights yet, damaged ones, or weights of another method.
            ConfigError: `config.yaml` is damaged.
        """
        config = self.load_config()
        card, tensors = load_weights(self.model_path)
        if card.method != config.method:
            raise CheckpointError(
                f"{self.model_path} holds weights of {card.method!r}, but {self.config_path} "
                f"names {config.method!r}; put back the file that belongs here."
            )
        method = bare_method(config, num_ids=card.num_ids)
        load_state(method, tensors, self.model_path)
        return method.eval()

    def refuse_untrained(self, doing: str) -> None:
        """Checks that the weights are enough for something, before it is done.

        Args:
            doing: See `ModelCard.untrained`.

        Raises:
            CheckpointError: They came from another program, without what it needs.
        """
        if doing in self.load_card().untrained:
            raise CheckpointError(
                f"The weights of {self.path} are not trained for {doing}: the files that they "
                "were imported from do not hold what it needs. Import those that do, or train a "
                "run that starts from these."
            )

    def _content(self) -> dict[str, Any]:
        try:
            content = yaml.safe_load(self.config_path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"{self.config_path} cannot be read ({reason}).") from error
        if not isinstance(content, dict):
            raise ConfigError(f"{self.config_path} holds no keys; it is not a run's configuration.")
        return content


def _holds_already(run: RunFolder, content: Mapping[str, Any], train: SampleTable | None) -> bool:
    """Whether a folder holds this very training.

    Raises:
        ConfigError: It holds what would be lost.
    """
    if run.config_path.is_file():
        told = _another(run, to_plain(run.load_config()), content, train)
        if told is None:
            return True
        with disk_faults_told(run.path):
            # Not by a glob, which takes a folder that is closed to this user for an empty one.
            saved = run.checkpoints_path.is_dir() and any(run.checkpoints_path.iterdir())
            if saved or run.model_path.exists():
                raise ConfigError(told)
        return False
    # Killed before the configuration stood, a call leaves its lock and the table.
    left = (LOCK_NAME, run.table_path.name)
    with disk_faults_told(run.config_path):
        names = [entry.name for entry in run.path.iterdir()] if run.path.is_dir() else []
    if any(name not in left and not name.endswith(".part") for name in names):
        raise ConfigError(
            f"{run.path} is not empty and holds no run (no config.yaml); give another --out."
        )
    return False


def _write(run: RunFolder, content: Mapping[str, Any], train: SampleTable | None) -> None:
    """Writes what is trained, in place of a training that left nothing to continue.

    That one failed before its first checkpoint, for want of people or with a loss that was lost,
    and the same command with something mended should not need another folder.
    """
    with disk_faults_told(run.config_path):
        run.log_path.unlink(missing_ok=True)
        for folder in (run.tensorboard_path, run.previews_path):
            shutil.rmtree(folder, ignore_errors=True)
        if train is not None:
            train.write(run.table_path)
        write_text(run.config_path, yaml.safe_dump(dict(content), sort_keys=False))


def as_begun(begun: Mapping[str, Any], config: Recipe, *, where: str) -> Recipe:
    """The recipe of a training, kept by an earlier version perhaps; what it lacks is as now.

    Args:
        begun: As plain values. Parts that are not there are taken from `config`.
        config: Of the same method, or nothing but the name of the other counts.
        where: What it stands in.

    Raises:
        ConfigError: It belongs to another version.
    """
    method = str(begun.get("method"))
    if method != config.method:
        return replace(config, method=method)
    parts = {part: getattr(config, part) for part in ("config", "data", "training")}
    kept = {
        part: build(type(own), begun[part], where=where)
        for part, own in parts.items()
        if part in begun
    }
    return replace(config, **kept)


def _another(
    run: RunFolder,
    begun: Mapping[str, Any],
    content: Mapping[str, Any],
    train: SampleTable | None,
) -> str | None:
    """Why a folder holds another training than the one that is wanted; None: it is the same.

    Args:
        run: The folder.
        begun: Its recipe; what it was made before has its default.
        content: What its configuration would be.
        train: The training rows.
    """
    kept, wanted = (yaml.safe_load(yaml.safe_dump(dict(c))) for c in (begun, content))
    for key, old, new in what_differs({**run._content(), **kept}, wanted):
        if key == "code_sha256":
            if None in (old, new):  # begun by an older version, or another method
                continue
            return (
                f"{wanted['method'].rpartition(':')[0]} is not the code that {run.path} was begun "
                "with; put that back to continue the training, or give another --out."
            )
        if key == "data_set.fingerprint":
            return (
                f"The training images are others than those that {run.path} was begun with"
                f"{_difference(run, train)}; put them back to continue that training, or give "
                "another --out."
            )
        if key == f"data_set.{VALIDATED_ON}":
            if None in (old, new):  # begun by an older version, or validated otherwise
                continue
            return (
                f"The validation images are others than those that {run.path} was begun with, by "
                "which its best weights were chosen; put them back to continue that training, or "
                "give another --out."
            )
        return (
            f"{run.path} already holds a training with {key} = {old!r}, but {key} = {new!r} "
            f"was asked for; give another --out, or {old!r} again to continue that training."
        )
    return None


def what_differs(
    before: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Keys that decide about weights and their values in two configurations, as plain values."""
    found, expected = flat(before), flat(wanted)
    for key in (*expected, *(key for key in found if key not in expected)):
        old, new = found.get(key), expected.get(key)
        if old != new and key not in _FREE_KEYS:
            yield key, old, new


def _difference(run: RunFolder, train: SampleTable | None) -> str:
    """`: 3 were removed, such as a.jpg`, as far as it is known."""
    try:
        kept = read_table(run.table_path) if train is not None else None
    except (CrosslightError, OSError):
        return ""
    if train is None or kept is None:
        return ""
    before, now = _rows(kept), _rows(train)
    both = sorted(before.keys() & now.keys())
    kinds = {
        "were removed": sorted(before.keys() - now.keys()),
        "were added": sorted(now.keys() - before.keys()),
        **{
            f"have another {called}": [
                path for path in both if any(before[path][c] != now[path][c] for c in columns)
            ]
            for called, columns in _CALLED.items()
        },
    }
    said = [f"{len(p)} {kind}, such as {p[0]}" for kind, p in kinds.items() if p]
    paths = kept.relative_paths, train.relative_paths
    if not said and paths[0] != paths[1] and sorted(paths[0]) == sorted(paths[1]):
        said = ["their order"]
    return f": {'; '.join(said)}" if said else ""


def _rows(table: SampleTable) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in table.frame.iter_rows(named=True)}
