"""What a method must answer, and what it may offer besides.

A method is one system of the literature in one file or one package: its networks, its losses and
the order of its updates. The loop, the commands and the tests know methods through this file alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from crosslight.data.batch import Batch
from crosslight.errors import ConfigError
from crosslight.methods.scaling import MethodConfig
from crosslight.methods.terms import Term
from crosslight.types import Distance, Modality


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A named part of training with its own length.

    Attributes:
        name: Unique within the method.
        epochs: Length in epochs, or None where `iterations` is given.
        iterations: Length in iterations, or None where `epochs` is given.
        learns_from: Name of one of the method's `codes` (see `Disentangles`): batches then hold
            that code of each image in place of the image, computed once, when the stage begins,
            without augmentation. The networks behind it must not move in this stage. None: images.
        given: File that holds what the stage would make; it is then skipped. None: it is trained.
        sha256: Digest that the file must have.
        part: Attribute of the method that the stage trains: the file holds the weights of that
            network alone, or those of the whole method.
        frozen: Whether the later stages leave a given part as it is.

    Raises:
        ConfigError: Not exactly one length, or something given for no part.
    """

    name: str
    epochs: int | None = None
    iterations: int | None = None
    learns_from: str | None = None
    given: str | None = None
    sha256: str | None = None
    part: str | None = None
    frozen: bool = True

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.iterations is None):
            raise ConfigError(f"Stage {self.name!r} needs either epochs or iterations; give one.")
        if self.given is not None and self.part is None:
            raise ConfigError(f"Stage {self.name!r} must name the `part` that {self.given} gives.")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training stands; ramps and schedules are pure functions of it.

    Attributes:
        stage: Name of the running stage.
        iteration: Iterations already done in this stage.
        iterations: Length of this stage in iterations.
        iterations_per_epoch: Length of one epoch.
    """

    stage: str
    iteration: int
    iterations: int
    iterations_per_epoch: int

    @property
    def epoch(self) -> float:
        """Epochs already done in this stage, with fraction."""
        return self.iteration / self.iterations_per_epoch

    @property
    def fraction(self) -> float:
        """Part of this stage already done, in [0, 1)."""
        return self.iteration / self.iterations


def constant(_: Progress) -> float:
    """The schedule that leaves the learning rate alone."""
    return 1.0


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """An optimizer and its schedule.

    Attributes:
        optimizer: Parameter groups with their initial learning rates.
        factor: Multiplies every group's initial learning rate.
    """

    optimizer: torch.optim.Optimizer
    factor: Callable[[Progress], float] = constant


class Update(Protocol):
    """Given by the loop to `Method.training_step`."""

    @property
    def progress(self) -> Progress:
        """Where training stands."""
        ...

    def __call__(
        self,
        optimizers: str | tuple[str, ...],
        losses: Mapping[str, Tensor],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Makes one step of the named optimizers on the weighted sum of the named losses.

        Only the parameters of these optimizers move; whatever gradient reaches others is
        discarded. Stops the training with the loss's name if one is not finite. The log has the
        weights and what they make of the losses, so that ramps can be plotted.

        Args:
            optimizers: Names in `Method.optimizers`.
            losses: Name → plain scalar.
            weights: Name → weight at this point of the training; 1 where there is none. Names of
                other losses are ignored.
        """
        ...

    def note(self, sentence: str) -> None:
        """Shows a person a line that stays, once for all processes."""
        ...


def stages_of(method: Method) -> tuple[Stage, ...]:
    """The stages in order.

    Raises:
        ConfigError: What the method answers are no stages, or two of one name.
    """
    name, stages = type(method).__name__, method.stages()
    if not isinstance(stages, tuple | list) or not all(isinstance(s, Stage) for s in stages):
        raise ConfigError(
            f"{name}.stages() gives {stages!r}, expected a tuple of Stage; write it as in "
            '`return (Stage(name="train", epochs=20),)`.'
        )
    if len({stage.name for stage in stages}) < len(stages):
        names = ", ".join(stage.name for stage in stages)
        raise ConfigError(f"{name}.stages() names {names}; give each a name of its own.")
    return tuple(stages)


def stages_to_train(method: Method) -> tuple[Stage, ...]:
    """The stages in order, without those whose result is given as a file; at least one.

    Raises:
        ConfigError: There is none, or no such stages as `stages_of` gives.
    """
    left = tuple(stage for stage in stages_of(method) if stage.given is None)
    if not left:
        raise ConfigError(
            f"{type(method).__name__}.stages() leaves nothing to train; one stage at least must "
            "not be given."
        )
    return left


def optimizers_of(method: Method) -> Mapping[str, Scheduled]:
    """Every optimizer of every stage, by name; made once.

    Raises:
        ConfigError: What the method answers are no optimizers with schedules.
    """
    found: object = method.optimizers()
    entries = found if isinstance(found, Mapping) else {}
    if not entries or not all(isinstance(entry, Scheduled) for entry in entries.values()):
        kinds = {name: type(entry).__name__ for name, entry in entries.items()}
        raise ConfigError(
            f"{type(method).__name__}.optimizers() gives {kinds or type(found).__name__}, expected "
            'names and Scheduled; write it as in `return {"model": '
            "Scheduled(optimizer=my_optimizer)}`."
        )
    return entries


def weighted(
    losses: Mapping[str, Tensor], weights: Mapping[str, float] | None
) -> dict[str, Tensor]:
    """What `Update` sums up: each loss as often as its weight says, in float32 at least."""
    counted = weights or {}
    wide = {n: v.to(torch.promote_types(v.dtype, torch.float32)) for n, v in losses.items()}
    return {n: counted[n] * loss if n in counted else loss for n, loss in wide.items()}


class Method(nn.Module, ABC):
    """A system that is trained on people and embeds images of them.

    Subclasses take `(config, *, num_ids, height, width)`, where `config` is an instance of their
    `Config`, `num_ids` the number of training people, `height` and `width` the size of the
    images they will see, in pixels.

    Attributes:
        Config: Its configuration, a frozen keyword-only dataclass with the paper's values, whose
            fields say by their type what they count; see `crosslight.methods.scaling`.
        small: Values of `Config` that make it small enough to train for seconds on a CPU, from
            scratch; what the tests of every method use.
        fewest_ids: The smallest `data.ids_per_batch` of one process that it can learn from.
        distance: How its embeddings are compared unless the user says otherwise.
        switches: Named changes of its recipes, each a few `key: value`, for
            `crosslight ablate --switches`.
        terms: What it logs → what its paper calls that; charts of a training are named by them.
    """

    Config: ClassVar[type[MethodConfig]]
    small: ClassVar[Mapping[str, Any]]
    fewest_ids: ClassVar[int] = 1
    distance: ClassVar[Distance] = "cosine"
    switches: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    terms: ClassVar[Mapping[str, Term]] = {}

    @abstractmethod
    def optimizers(self) -> Mapping[str, Scheduled]:
        """Every optimizer of every stage, by name. Called once, before training."""

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """The stages in order, those that are given among them; at least one is trained."""

    @abstractmethod
    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """One iteration: computes the losses and calls `update` in the paper's order.

        Some iterations may do without `update`, but training ends with an error where the first
        100 of a stage, or all if it has fewer, make no step of any optimizer.

        Returns:
            The named scalar losses, plain, and figures to log, detached or not.
        """

    @abstractmethod
    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        """Embeds images for matching; deterministic in eval mode.

        Args:
            images: (B, 3, H, W) in [0, 1].
            modality: (B,) int64 `Modality`.

        Returns:
            (B, D) float, compared by `distance`.
        """


def refuse_few_ids(
    method: type[Method], name: str, ids_per_batch: int, *, processes: int = 1
) -> None:
    """Checks, before anything is trained, that a batch holds enough people.

    Args:
        method: What is trained.
        name: Its name.
        ids_per_batch: As `data.ids_per_batch`.
        processes: That share a batch.

    Raises:
        ConfigError: It does not.
    """
    fewest = method.fewest_ids * processes
    if ids_per_batch < fewest:
        shared = f" on {processes} processes" if processes > 1 else ""
        raise ConfigError(
            f"data.ids_per_batch is {ids_per_batch}, of which {name} learns nothing{shared}; set "
            f"it to {fewest} or more."
        )


@runtime_checkable
class Swaps(Protocol):
    """Can draw one person's clothes on another's body and pose."""

    def swap(self, appearance: Tensor, structure: Tensor) -> Tensor:
        """(B,3,H,W) in [0,1] twice → (B,3,H,W) in [0,1]."""
        ...


@runtime_checkable
class Interpolates(Protocol):
    """Can draw clothes between two people's on a third one's body and pose."""

    def interpolate(
        self, first: Tensor, second: Tensor, structure: Tensor, fraction: float
    ) -> Tensor:
        """(B,3,H,W) in [0,1] thrice → the same; at 0 in `first`'s clothes, at 1 in `second`'s."""
        ...


@runtime_checkable
class ExchangesParts(Protocol):
    """Takes images apart in several named parts, each of which can be another image's."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Their names."""
        ...

    def exchange(self, taken: Tensor, kept: Tensor, parts: Sequence[str]) -> Tensor:
        """(B,3,H,W) in [0,1] twice → `kept` with these parts of `taken`."""
        ...


@runtime_checkable
class MapsStructure(Protocol):
    """Can show what it takes for the structure of an image."""

    def structure_maps(self, images: Tensor) -> Tensor:
        """(B,3,H,W) in [0,1] → (B, C, h, w), any number of channels of any range."""
        ...


@runtime_checkable
class Translates(Protocol):
    """Can draw the same scene in the other modality."""

    def translate(self, images: Tensor, source: int, target: int) -> Tensor:
        """(B,3,H,W) in [0,1] of one modality → the same in the other."""
        ...


def refuse_same_light(source: int, target: int) -> None:
    """For `Translates`.

    Raises:
        ConfigError: Both lights are the same.
    """
    if source == target:
        light = Modality(source).name.lower()
        raise ConfigError(
            f"source and target are both {light}; name the other light as the target."
        )


@runtime_checkable
class Disentangles(Protocol):
    """Offers its codes by name, for measuring what each one knows."""

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:
        """Name → (B, D)."""
        ...
