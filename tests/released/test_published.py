"""Files with the names and shapes of the published ones, in the old and the new format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crosslight.experiments.importing import NOBODY, Gathered, gather, refuse_misfits
from crosslight.released.systems import SYSTEMS
from crosslight.training.run import bare_method
from tests.released.originals import BACK, Files, originals_of, published

PUBLISHED = published()
COUNTS = {
    # Kept, left out: of all files.
    "agw": (395, 630),
    "bdtr": (645, 4),
    "caj": (395, 630),
    "cmpig": (2 * 356 + 2 * 20, 2 * 10),
    "d2rl": (2 * 48 + 2 * 30, 0),
    "dgnet": (118 + 336 + 84 + 327, 16 + 2 + 2),
    "hicmd": (2 * 436 + 2 * 84 + 11 + 192 + 1, 2 * 18 + 128),
    "proposed-2020": (260 + 318 + 84, 18 + 20),
}
SHARED = {"cmpig": "mod_invar_enc.", "hicmd": "dec."}
"""Of a module that two networks have in common, and each saves."""
PARALLEL = {"cmpig": "model", "dgnet": "dis"}
"""Files that come from several GPUs."""
FIGURES = {"cmc": np.ones(5, np.float32), "mAP": np.float64(0.5), "epoch": 7}


def filled(system: str) -> Files:
    """Tensors whose values are a number of their own each, and take no room."""
    numbers: dict[tuple[str, str, str], int] = {}

    def tensor(file: str, key: str, name: str, shape: tuple[int, ...]) -> Tensor:
        shared = name.startswith(SHARED.get(system, "nothing"))
        number = numbers.setdefault(("", "", name) if shared else (file, key, name), len(numbers))
        kind = torch.int64 if name.endswith("_tracked") else torch.float32
        return torch.tensor(number, dtype=kind).expand(shape)

    return {
        file: {
            key: {name: tensor(file, key, name, shape) for name, shape in shapes.items()}
            for key, shapes in networks.items()
        }
        for file, networks in PUBLISHED[system].items()
    }


def saved(folder: Path, files: Files, *, new_format: bool, parallel: str = "nothing") -> list[Path]:
    """As the original programs save them; some with `module.` in front of every name."""
    for file, networks in files.items():
        content: dict[str, Any] = {
            key: {f"module.{n}": v for n, v in weights.items()}
            if file.startswith(parallel)
            else weights
            for key, weights in networks.items()
        }
        torch.save(
            content.get("", {**content, **FIGURES} if "net" in content else content),
            folder / file,
            _use_new_zipfile_serialization=new_format,
        )
    return [folder / file for file in files]


def as_built(gathered: Gathered) -> dict[str, Tensor]:
    with torch.device("meta"):
        method = bare_method(gathered.recipe, num_ids=gathered.people or NOBODY)
    return method.state_dict()


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_name_of_the_published_files_has_its_place(system: str, tmp_path: Path) -> None:
    files = filled(system)
    new_format = system in {"agw", "dgnet", "hicmd"}
    paths = saved(tmp_path, files, new_format=new_format, parallel=PARALLEL.get(system, "nothing"))
    gathered = gather(system, paths)
    refuse_misfits(gathered, as_built(gathered))

    left_out = sum(len(names) for names in gathered.left_out.values())
    assert (gathered.kept, left_out) == COUNTS[system]
    originals = {
        (file[: len(start)], key, name): tensor
        for file, networks in files.items()
        for start in {start for start, _ in BACK[system]}
        for key, weights in networks.items()
        for name, tensor in weights.items()
        if file.startswith(start)
    }
    for here, tensor in gathered.weights.items():
        places = originals_of(system, here)
        assert places, here
        original = originals[places[0]]
        if places[0][2].startswith("NL_") and here.endswith("running_mean"):
            # The convolution before this norm has no bias here.
            file, key, name = places[0]
            original = original - originals[file, key, name.replace("1.running_mean", "0.bias")]
        assert tensor.numel() == original.numel(), here
        assert tensor[(0,) * tensor.ndim] == original[(0,) * original.ndim], here
