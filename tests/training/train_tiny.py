"""Trains `Tiny` in a process of its own: python -m tests.training.train_tiny RUN OPTIONS.

OPTIONS is JSON: `config` (of Tiny), `recipe`, `devices`, and `signals`: iteration over all stages
→ [rank, signal number] that the process then sends itself.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import torch.distributed as dist
from torch import Tensor

from crosslight import registry
from crosslight.data.batch import Batch
from crosslight.errors import CrosslightError
from crosslight.methods.contract import Update
from crosslight.training.loop import fit
from crosslight.training.machines import Machines
from tests.training.people import draw_people
from tests.training.tiny import Tiny, TinyConfig, build, open_run, recipe


class Signalled(Tiny):
    signals: Mapping[str, tuple[int, int]]

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        rank, number = self.signals.get(str(len(self.seen)), (-1, 0))
        if rank == (dist.get_rank() if dist.is_initialized() else 0):
            os.kill(os.getpid(), number)
        return super().training_step(batch, update)


def main() -> None:
    path, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    registry.METHODS["tiny"] = "tests.training.tiny:Tiny"
    # Each process draws its own copy: the same images, wherever they lie.
    rank = os.environ.get("LOCAL_RANK", "0")
    table = draw_people(path.parent / f"people-{rank}")
    config = recipe(config=TinyConfig(**options.get("config", {})), **options.get("recipe", {}))
    method = Signalled(config.config, num_ids=5, height=16, width=8)
    method.load_state_dict(build(config, table).state_dict())
    method.signals = options.get("signals", {})
    try:
        run = open_run(path, config, table)
        fit(
            table,
            config,
            run,
            method=method,
            machines=Machines(accelerator="cpu", devices=options.get("devices", 1)),
            progress=False,
        )
    except CrosslightError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
