"""Where a training runs."""

from __future__ import annotations

from dataclasses import dataclass

from crosslight.ranges import Processes
from crosslight.types import Accelerator


@dataclass(frozen=True, kw_only=True)
class Machines:
    """Where a training runs.

    Attributes:
        accelerator: Where to train.
        devices: Processes on each node, one per device.
        nodes: Machines.
    """

    accelerator: Accelerator = "auto"
    devices: Processes = 1
    nodes: Processes = 1
