"""Two processes with half the people each move the weights as one process with all of them.

The backbones' batch normalisations see only their own process's images, in training as in every
distributed training without synchronised statistics; they are frozen here to see the rest. So is
all of D2RL, whose codes are drawn at random in training, and of cmPIG, whose ResNet is in pieces;
its losses that see batch statistics whatever the mode are left out. Hi-CMD's people are all in
pairs here, because who is in none is a matter of the place in a process's own batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tests.methods.updates import RecordedUpdate
from torch import Tensor

from crosslight.data.batch import Batch
from crosslight.methods.contract import Method
from crosslight.nn.distributed import gather_with_gradient
from crosslight.registry import method_class

SMALL: dict[str, Any] = {"backbone": "resnet10-quarter", "weights": "none"}
NAMES = ("agw", "baseline", "bdtr", "cmpig", "d2rl", "hicmd", "sdl", "zero-padding")
OWN: dict[str, dict[str, Any]] = {
    "cmpig": {
        "gan_ids": 4,
        "gan_per_light": 2,
        "style_halvings": 2,
        "feature_weight": 0.0,
        "align": "none",
    },
    "d2rl": {},
    "hicmd": {"pair_share": 1.0, "dropout": 0.0, "erasing": 0.0},
}
"""What is changed of a method's small configuration."""
BY_LIGHT = ("agw", "baseline", "bdtr", "sdl")
"""Those whose losses see the images of all processes: each may have one light, and no gradient of
what sees the other."""
FROZEN = {"cmpig": ("",), "d2rl": ("",), "hicmd": ("attribute", "vector")}


def _method(name: str) -> Method:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        cls = method_class(name)
        config = cls.Config(**({**cls.small, **OWN[name]} if name in OWN else SMALL))
        method: Method = cls(config, num_ids=4, height=32, width=16)
    for part in FROZEN.get(name, ("backbone",)):
        method.get_submodule(part).eval()
    return method.double()


def _batch(people: range) -> Batch:
    """Two images of each person in each light, the same whoever asks."""
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(2, 4, 2, 3, 32, 16, dtype=torch.float64, generator=generator)
    chosen = images[:, list(people)].flatten(0, 2)
    labels = torch.tensor(list(people)).repeat_interleave(2).repeat(2)
    modality = torch.arange(2).repeat_interleave(len(labels) // 2)
    return Batch(images=chosen, labels=labels, cams=labels, modality=modality, rows=labels)


def _in_one_light(batch: Batch, light: int) -> Batch:
    rows = batch.modality == light
    given = {name: values for name, values in vars(batch).items() if values is not None}
    return Batch(**{name: values[rows] for name, values in given.items()})


def _found(name: str, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradients that an iteration of the last stage moves with, and its figures."""
    method = _method(name)
    update = RecordedUpdate(method)
    figures = method.training_step(batch, update)
    return update.gradients, {n: v.detach().double() for n, v in figures.items()}


def _process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    shares = {name: _batch(range(2 * rank, 2 * rank + 2)) for name in NAMES}
    shares |= {f"{name} by light": _in_one_light(_batch(range(4)), rank) for name in BY_LIGHT}
    for share, batch in shares.items():
        gradients, figures = _found(share.removesuffix(" by light"), batch)
        for value in figures.values():
            dist.all_reduce(value)
            value /= 2
        torch.save({**gradients, **figures}, Path(folder) / f"{share}_{rank}.pt")
    # Gloo takes tensors in one piece only.
    torch.save(gather_with_gradient(_turned(rank)), Path(folder) / f"gathered_{rank}.pt")
    dist.destroy_process_group()


def _turned(rank: int) -> Tensor:
    return torch.arange(12).view(2, 2, 3)[rank].T


@pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()),
    reason="this build of torch has no gloo; install the usual one to test distributed training",
)
def test_two_processes_equal_one(tmp_path: Path) -> None:
    mp.spawn(_process, args=(str(tmp_path),), nprocs=2)
    for rank in range(2):
        gathered = torch.load(tmp_path / f"gathered_{rank}.pt", weights_only=True)
        assert torch.equal(gathered, torch.cat([_turned(0), _turned(1)]))
    for share in (*NAMES, *(f"{name} by light" for name in BY_LIGHT)):
        gradients, figures = _found(share.removesuffix(" by light"), _batch(range(4)))
        alone = {**gradients, **figures}
        for rank in range(2):
            together = torch.load(tmp_path / f"{share}_{rank}.pt", weights_only=True)
            assert set(together) == set(alone)
            for key, value in alone.items():
                torch.testing.assert_close(
                    together[key],
                    value,
                    rtol=1e-6,
                    atol=1e-9,
                    msg=lambda difference, what=f"{share}: {key}": f"{what}\n{difference}",
                )
