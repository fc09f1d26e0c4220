"""Seconds and peak memory of one AGW iteration: the plain formulation against crosslight's.

Run `python benchmarks/agw_step.py [--images 64] [--iterations 10] [--variants plain,fp32,bf16]`.
The plain formulation is the paper's step in float32, eager, in the usual memory format and with
the triplet loss written pair by pair over the matrix of distances; crosslight's has the loop's
memory format and arithmetic, and is compiled where the variant says so. Each variant runs in a
process of its own; the first iterations, which compile and allocate, are not timed, and the
fastest of the others counts. On a CPU the seconds are those of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.methods.agw import AGW, AGWConfig
from crosslight.methods.contract import weighted
from crosslight.training.devices import compile_networks

VARIANTS = {
    "plain": "plain, fp32",
    "fp32": "crosslight, fp32",
    "bf16": "crosslight, bf16",
    "compiled": "crosslight, bf16, compiled",
}
PEOPLE, UNTIMED = 395, 2


class Step:
    """The loop's update, without its guard."""

    def __init__(self, method: AGW) -> None:
        self.optimizer = method.optimizers()["model"].optimizer

    def __call__(
        self, _: str, losses: dict[str, Tensor], weights: dict[str, float] | None = None
    ) -> None:
        """Backward and step."""
        losses = weighted(losses, weights)
        with torch.autocast(next(iter(losses.values())).device.type, enabled=False):
            torch.stack([loss.float() for loss in losses.values()]).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        torch.clear_autocast_cache()


def plain_step(method: AGW, batch: Batch, step: Step) -> None:
    """Identity loss and weighted regularised triplet, straight from the paper's equations."""
    embeddings = method.pool(method.backbone(method.normalize(batch.images), batch.modality))
    loss_id = F.cross_entropy(method.head(embeddings), batch.labels)
    distances = (embeddings[:, None] - embeddings[None]).square().sum(2).clamp_min(1e-12).sqrt()
    same = batch.labels[:, None] == batch.labels[None]
    near = torch.softmax(distances.masked_fill(~same, -torch.inf), dim=1)
    far = torch.softmax((-distances).masked_fill(same, -torch.inf), dim=1)
    loss_triplet = F.softplus((near * distances).sum(1) - (far * distances).sum(1)).mean()
    step("model", {"loss_id": loss_id, "loss_triplet": loss_triplet})


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds and MiB of one variant in this process."""
    device = torch.device(arguments.device)
    cuda = device.type == "cuda"
    if not cuda:
        torch.set_num_threads(arguments.threads)
    clock = time.perf_counter if cuda else time.process_time
    torch.manual_seed(0)
    config = AGWConfig(backbone=arguments.backbone, weights="none")
    size = (arguments.height, arguments.width)
    method = AGW(config, num_ids=PEOPLE, height=size[0], width=size[1]).to(device).train()
    plain = arguments.variant == "plain"
    layout = torch.contiguous_format if plain else torch.channels_last
    method.to(memory_format=layout)
    count = arguments.images
    modality = (torch.arange(count, device=device) >= count // 2).long()
    batch = Batch(
        images=torch.rand(count, 3, *size, device=device).contiguous(memory_format=layout),
        labels=torch.arange(count, device=device) // 4 % max(1, count // 8),
        cams=modality,
        modality=modality,
        rows=torch.arange(count, device=device),
    )
    step = Step(method)
    if arguments.variant == "compiled":
        compile_networks(method)
    times = []
    for _ in range(UNTIMED + arguments.iterations):
        if cuda:
            torch.cuda.synchronize()
        start = clock()
        if plain:
            plain_step(method, batch, step)
        else:
            low = arguments.variant != "fp32"
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=low):
                method.training_step(batch, step)  # type: ignore[arg-type]
        if cuda:
            torch.cuda.synchronize()
        times.append(clock() - start)
    if cuda:
        memory = torch.cuda.max_memory_allocated() / 2**20
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": min(times[UNTIMED:]), "mib": memory}


def main() -> None:
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", default="plain,fp32,bf16,compiled", help=", ".join(VARIANTS))
    parser.add_argument("--images", type=int, default=64 if cuda else 8, help="of a batch")
    parser.add_argument("--height", type=int, default=288)
    parser.add_argument("--width", type=int, default=144)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--iterations", type=int, default=20 if cuda else 2, help="timed ones")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--device", default="cuda" if cuda else "cpu")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(measure(arguments)))
        return
    table = Table("variant", "seconds", "", "images/s", "MiB", "")
    table.title = (
        f"One AGW iteration: {arguments.backbone}, {arguments.height}x{arguments.width}, "
        f"{arguments.images} images, {arguments.device}"
    )
    first: dict[str, float] = {}
    for variant in arguments.variants.split(","):
        command = [sys.executable, __file__, *sys.argv[1:], "--variant", variant]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        first = first or found
        table.add_row(
            VARIANTS[variant],
            f"{found['seconds']:.3f}",
            f"{first['seconds'] / found['seconds']:.2f}x",
            f"{arguments.images / found['seconds']:.0f}",
            f"{found['mib']:.0f}",
            f"{found['mib'] / first['mib']:.0%}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
