"""Opens a trained run, or an exported model, which needs nothing of torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crosslight.errors import ConfigError, MissingPartError
from crosslight.exporting.card import is_exported

if TYPE_CHECKING:
    import torch

    from crosslight.experiments.run import Run
    from crosslight.exporting.exported import Exported
    from crosslight.exporting.runtimes import Arithmetic


def load_run(
    path: Path | str,
    *,
    device: torch.device | str | None = None,
    arithmetic: Arithmetic | None = None,
) -> Run | Exported:
    """Opens a trained run, an exported model, or `promenade`, the weights that ship.

    See `Run` and `Exported`; of an exported model `embed` is there, and torch need not be.

    Args:
        path: Run folder, folder of `crosslight export`, or the name of weights that ship.
        device: Where to compute; None: a run on the first CUDA device or the CPU, an exported
            model on the CPU.
        arithmetic: `bf16` lets OpenVINO compute in bfloat16. None: in float32; a run as it was
            trained.

    Raises:
        ConfigError: Nothing of the kind is there, its configuration is damaged, or the runtime
            cannot compute so.
        CheckpointError: No weights yet, or damaged or changed ones.
        MissingPartError: It is no exported model, and torch is not installed; or the runtime.
    """
    if is_exported(Path(path)):
        from crosslight.exporting.exported import Exported

        place = None if device is None else str(device)
        return Exported(path, device=place, arithmetic=arithmetic)
    if arithmetic is not None:
        raise ConfigError(
            f"{path} is not an exported model, and a run computes as it was trained; leave "
            "arithmetic out, or give the --out of crosslight export."
        )
    try:
        from crosslight.experiments.run import Run
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingPartError(
            f"{path} is no exported model (no export.json), and a run needs torch, which is not "
            "installed; give the --out of crosslight export, or install torch."
        ) from error

    return Run(path, device=device)
