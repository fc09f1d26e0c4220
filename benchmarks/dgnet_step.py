"""Seconds and peak memory of one DG-Net iteration: the plain formulation against crosslight's.

From the root, run
`python -m benchmarks.dgnet_step [--pairs 8] [--iterations 5] [--variants plain,fp32,bf16]`.
Each variant runs in a process of its own, one after the other; the first iteration, which compiles
and allocates, is not timed, the fastest of the others counts. Before the ramp nothing is
re-encoded or taught, after it everything is. On a CPU the seconds are those of the process
(`--threads 1` makes them those of the clock, and other work on the machine does not count), and
the memory is the growth of the process since before the networks were built; on a GPU they are
the clock's, and what was allocated.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from tests.oracles.dgnet import PlainStep
from torch import Tensor

from crosslight.data.batch import Batch
from crosslight.methods.contract import Progress, weighted
from crosslight.methods.dgnet import DGNet, DGNetConfig, ramped_weights
from crosslight.training.devices import compile_networks

VARIANTS = {
    "plain": "plain, fp32",
    "plain-bf16": "plain, bf16",
    "fp32": "crosslight, fp32",
    "bf16": "crosslight, bf16",
    "compiled-fp32": "crosslight, fp32, compiled",
    "compiled": "crosslight, bf16, compiled",
}
PEOPLE = 751


class Step:
    """The loop's update, without its guard."""

    def __init__(self, method: DGNet, iteration: int) -> None:
        self.optimizers = {n: s.optimizer for n, s in method.optimizers().items()}
        self.progress = Progress(
            stage="joint",
            iteration=iteration,
            iterations=method.config.iterations,
            iterations_per_epoch=1617,
        )

    def note(self, _: str) -> None:
        """Nobody listens."""

    def __call__(
        self,
        name: str,
        losses: Mapping[str, Tensor],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Backward and step."""
        losses = weighted(losses, weights)
        groups = self.optimizers[name].param_groups
        moved = [p for group in groups for p in group["params"]]
        device = next(iter(losses.values())).device.type
        with torch.autocast(device, enabled=False):
            torch.stack([loss.float() for loss in losses.values()]).sum().backward(inputs=moved)
        self.optimizers[name].step()
        for parameter in moved:
            parameter.grad = None
        torch.clear_autocast_cache()


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    device = torch.device(arguments.device)
    torch.set_num_threads(arguments.threads)
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    before = _resident_mib()
    torch.manual_seed(0)
    config = DGNetConfig(backbone=arguments.backbone, weights="none")
    size = (arguments.height, arguments.width)
    method = DGNet(config, num_ids=PEOPLE, height=size[0], width=size[1]).to(device).train()
    images = torch.rand(4 * arguments.pairs, 3, *size, device=device)
    labels = torch.randint(PEOPLE, (2 * arguments.pairs,), device=device).repeat_interleave(2)
    iteration = config.ramp_start + 5000 if arguments.ramped else 1000
    assert ramped_weights(config, iteration).any == arguments.ramped
    variant = arguments.variant
    run: Callable[[], Any]
    if variant.startswith("plain"):
        plain = PlainStep(method)
        normalised = method.normalize(images)
        # Half of the images erased, as on average in training.
        rectangles = torch.tensor([[40, 20, 120, 60], [0, 0, 0, 0]]).repeat(2 * arguments.pairs, 1)

        def run() -> Any:
            again = torch.rand(()).item() < config.again_probability
            return plain(normalised, labels, rectangles, iteration, again=again)

    else:
        method.to(memory_format=torch.channels_last)
        batch = Batch(
            images=images.contiguous(memory_format=torch.channels_last),
            labels=labels,
            cams=labels,
            modality=torch.zeros_like(labels),
            rows=torch.arange(len(labels), device=device),
        )
        update = Step(method, iteration)
        if variant.startswith("compiled"):
            compile_networks(method)

        def run() -> Any:
            return method.training_step(batch, update)

    bf16 = variant in ("bf16", "compiled", "plain-bf16")
    times = []
    for _ in range(arguments.iterations + 1):
        _wait(device)
        start = clock()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            run()
        _wait(device)
        times.append(clock() - start)
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated() / 2**20
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    return {"seconds": min(times[1:]), "mib": memory}


def _resident_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", default="plain,fp32,bf16,compiled", help=", ".join(VARIANTS))
    parser.add_argument("--pairs", type=int, default=8 if cuda else 2, help="images of each half")
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--iterations", type=int, default=10 if cuda else 2, help="timed ones")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--device", default="cuda" if cuda else "cpu")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    parser.add_argument("--ramped", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(measure(arguments)))
        return
    table = Table(*("variant", "before: s", "", "MiB", "", "after: s", "", "MiB", ""))
    table.title = (
        f"One DG-Net iteration before and after the ramp: {arguments.backbone}, "
        f"{arguments.height}x{arguments.width}, 4 x {arguments.pairs} images, {arguments.device}"
        f"{'' if cuda else f', {arguments.threads} threads'}"
    )
    first: dict[bool, dict[str, float]] = {}
    for variant in arguments.variants.split(","):
        cells = []
        for ramped in (False, True):
            program = [sys.executable, "-m", "benchmarks.dgnet_step"]
            command = [*program, *sys.argv[1:], "--variant", variant]
            done = subprocess.run(
                [*command, *(["--ramped"] if ramped else [])],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found = json.loads(done.stdout.splitlines()[-1])
            base = first.setdefault(ramped, found)
            cells += [
                f"{found['seconds']:.3f}",
                f"{base['seconds'] / found['seconds']:.2f}x",
                f"{found['mib']:.0f}",
                f"{found['mib'] / base['mib']:.0%}",
            ]
            print(variant, "after" if ramped else "before", found, file=sys.stderr)
        table.add_row(VARIANTS[variant], *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
