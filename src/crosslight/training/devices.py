"""Where a training computes: launching processes, arithmetic, repeatability, compilation."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np
import torch
from torch import nn

from crosslight.config import Precision
from crosslight.errors import ConfigError, CrosslightError
from crosslight.training.machines import Machines
from crosslight.types import Accelerator

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")
_BF16_UNITS = ("amx_bf16", "avx512_bf16")


def launch(machines: Machines, precision: Precision) -> Fabric:
    """Starts the processes of a training; each continues from here.

    With several devices the running command is started again for each of the others.

    Raises:
        ConfigError: This machine lacks the device or the arithmetic.
    """
    from lightning_fabric import Fabric  # seconds, which only a training should wait for

    accelerator, devices, nodes = machines.accelerator, machines.devices, machines.nodes
    # Its log says at every start which arithmetic the recipe asked for.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Where a device lacks an arithmetic, Fabric warns and takes another; here that is an
            # error, below.
            warnings.simplefilter("ignore", UserWarning)
            fabric = Fabric(
                accelerator=accelerator,
                devices=devices,
                num_nodes=nodes,
                precision=fastest_precision(accelerator) if precision == "auto" else precision,
                strategy="ddp" if devices > 1 or nodes > 1 else "auto",
            )
    except (RuntimeError, ValueError, ImportError) as error:
        raise ConfigError(
            f"Training on {devices} x {accelerator} is not possible here "
            f"({str(error).splitlines()[0]}); choose another accelerator or fewer devices."
        ) from error
    if precision == "16-mixed" and fabric.device.type != "cuda":
        raise ConfigError(
            f"training.precision is 16-mixed, which {fabric.device.type} cannot do; "
            "set it to bf16-mixed."
        )
    fabric.launch()
    return fabric


def device_of(accelerator: Accelerator) -> torch.device:
    """Where one process computes; `auto`: on the first CUDA device, or the CPU.

    Raises:
        ConfigError: This machine lacks the device.
    """
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if accelerator == "auto":
        return torch.device("cuda" if has["cuda"] else "cpu")
    if not has.get(accelerator, True):
        raise ConfigError(f"There is no {accelerator} device here; choose another accelerator.")
    return torch.device(accelerator)


def device_named(device: torch.device | str | None) -> torch.device:
    """A device as torch names it, such as `cuda:1`; None: the first CUDA device, or the CPU.

    Raises:
        ConfigError: There is no such kind of device, or this machine lacks it.
    """
    if device is None:
        return device_of("auto")
    try:
        named = torch.device(device)
        torch.empty(1, device=named)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"There is no device {str(device)!r} here ({reason}); leave it out, or give cpu, cuda, "
            "cuda:1, ... or mps."
        ) from error
    return named


def fastest_precision(accelerator: str) -> Literal["32-true", "bf16-mixed"]:
    """bfloat16 where the device has units for it, float32 elsewhere.

    Args:
        accelerator: auto, cpu, cuda or mps.
    """
    if accelerator in {"auto", "cuda"} and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif accelerator in {"auto", "cpu"}:
        units: dict[str, Any] = getattr(
            torch.cpu, "get_capabilities", dict
        )()  # of torch 2.10 and later
        native = any(units.get(unit, False) for unit in _BF16_UNITS)
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


def loss_scaler(fabric: Fabric) -> torch.amp.GradScaler | None:
    """What keeps 16-bit gradients from vanishing; None in other arithmetic."""
    scaler: torch.amp.GradScaler | None = getattr(fabric.strategy.precision, "scaler", None)
    return scaler


def on_first_rank(fabric: Fabric, action: Callable[[], T]) -> T:
    """What the first rank makes of an action, or its error, on every rank.

    Raises:
        CrosslightError: What the action raised.
    """
    if fabric.world_size == 1:
        return action()
    outcome: tuple[Any, CrosslightError | None] = (None, None)
    if fabric.global_rank == 0:
        try:
            outcome = (action(), None)
        except CrosslightError as error:
            outcome = (None, error)
    result, failure = fabric.broadcast(outcome)
    if failure is not None:
        raise failure
    return cast(T, result)


@contextmanager
def exactly_repeatable(device: torch.device, *, threads: int | None) -> Iterator[None]:
    """Inside, cuDNN keeps to deterministic algorithms and the CPU to its number of threads.

    The global random state and the number of threads are put back after.

    Args:
        device: Whose random state is kept, besides the CPU's.
        threads: Of the CPU, because the order of sums follows from it; None: as they are.
    """
    devices = [device] if device.type == "cuda" else []
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with (
            torch.random.fork_rng(devices=devices),
            torch.backends.cudnn.flags(enabled=True, deterministic=True),
        ):
            yield
    finally:
        torch.set_num_threads(before)


def seed_draws(device: torch.device, *entropy: int) -> None:
    """Seeds the draws of dropout and the like, which only know the global random state."""
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    torch.default_generator.manual_seed(int(state[0]))
    if device.type == "cuda":
        torch.cuda.manual_seed(int(state[0]))


def compile_networks(module: nn.Module) -> None:
    """Compiles each of a method's networks in place; names of weights stay.

    The networks, not `training_step`: that one calls the optimizers halfway. Networks that a
    method keeps in lists or dicts are compiled one by one. Only calls of a network itself are
    compiled, not calls of its other functions.
    """
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            compile_networks(child)
        elif any(True for _ in child.parameters()):
            child.compile()
