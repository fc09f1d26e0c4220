"""Every method's losses over a short training at a fixed seed, to show that a rebuild changed none.

    python benchmarks/loss_curves.py --out before.json
    ... change the code ...
    python benchmarks/loss_curves.py --out after.json --against before.json

Each registered method trains all its stages on Promenade's tiny preset, with the values of its
`small`, once with the seed given. Written down are the losses of every iteration and a SHA-256 of
the final weights; `--against` exits with 1 where a loss differs by more than `--tolerance`.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from safetensors import safe_open

from crosslight.config import parse_recipe
from crosslight.data.layouts import read_layout
from crosslight.data.promenade import make
from crosslight.data.table import SampleTable
from crosslight.registry import method_class, method_names
from crosslight.training.loop import fit
from crosslight.training.machines import Machines
from crosslight.training.run import RunFolder

HEIGHT, WIDTH, EPOCHS, PER_EPOCH = 64, 32, 2, 3
NOT_LOSSES = ("kind", "time", "iteration", "epoch", "stage", "images_per_s", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--methods", nargs="*", default=method_names())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tolerance", type=float, default=0.0)
    arguments = parser.parse_args()
    curves = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root / "people", preset="tiny", height=HEIGHT, width=WIDTH, progress=False)
        table = read_layout("sysu-mm01", root / "people").split("train")
        for name in arguments.methods:
            print(name, file=sys.stderr, flush=True)
            curves[name] = curve(name, table, root / name, arguments.seed)
            arguments.out.write_text(json.dumps(curves, indent=1) + "\n")
    if arguments.against:
        same = compare(json.loads(arguments.against.read_text()), curves, arguments.tolerance)
        sys.exit(0 if same else 1)


def curve(name: str, table: SampleTable, path: Path, seed: int) -> dict[str, Any]:
    cls = method_class(name)
    length = {"epochs": EPOCHS} if hasattr(cls.Config(), "epochs") else {}
    config = parse_recipe(
        {
            "method": name,
            "config": {**cls.small, **length},
            "data": {
                "height": HEIGHT,
                "width": WIDTH,
                "iterations_per_epoch": PER_EPOCH,
                "ids_per_batch": 2,
                "visible_per_id": 2,
                "infrared_per_id": 2,
                "workers": 0,
                "augmentation": {"erasing": 0.5},
            },
            "training": {"seed": seed, "threads": 1, "log_every": 1, "preview_every": 0},
        },
        where=name,
    )
    run = RunFolder.create(path, config, data={"fingerprint": table.fingerprint()})
    fit(table, config, run, machines=Machines(accelerator="cpu"), progress=False)
    lines = [json.loads(line) for line in run.log_path.read_text().splitlines()]
    return {"losses": [figures(line) for line in lines], "weights": digest(run.model_path)}


def figures(line: dict[str, Any]) -> dict[str, float]:
    """The numbers of a line of the log that do not tell the time, nested names joined by dots."""
    found: dict[str, float] = {}
    for key, value in line.items():
        if key in NOT_LOSSES:
            continue
        if isinstance(value, dict):
            found |= {f"{key}.{inner}": number for inner, number in figures(value).items()}
        elif isinstance(value, int | float):
            found[key] = value
    return found


def digest(path: Path) -> str:
    with safe_open(path, framework="np") as file:
        content = hashlib.sha256()
        for name in sorted(file.keys()):
            content.update(name.encode() + file.get_tensor(name).tobytes())
    return content.hexdigest()


def compare(before: dict[str, Any], after: dict[str, Any], tolerance: float) -> bool:
    table = Table("method", "iterations", "losses compared", "largest difference", "weights")
    same = True
    for name in after:
        if name not in before:
            table.add_row(name, "", "", "new", "")
            continue
        old, new = before[name]["losses"], after[name]["losses"]
        shared = [
            abs(a[key] - b[key]) for a, b in zip(old, new, strict=False) for key in a if key in b
        ]
        largest = max(shared, default=0.0)
        good = largest <= tolerance and len(old) == len(new) and bool(shared)
        weights = before[name]["weights"] == after[name]["weights"]
        same &= good
        table.add_row(
            name,
            f"{len(old)} → {len(new)}",
            str(len(shared)),
            f"{largest:.2e}",
            "the same" if weights else "others",
        )
    Console(width=110).print(table)
    return same


if __name__ == "__main__":
    main()
