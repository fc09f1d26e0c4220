"""From nothing to the weights that ship: draws people, trains, scores in unseen worlds, packs.

Run `make weights`, or `python tools/make_weights.py --out FOLDER [--epochs N] [--people N]`. Every
step is kept and continues where it was cut. `--out FOLDER` holds the people and the run;
`--packed FOLDER`, by default the package's own, gets the weights and their card.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
import yaml
from unseen_worlds import PEOPLE, PROTOCOL, SEEDS, results_by_light

import crosslight as cl
from crosslight.data.promenade import make
from crosslight.experiments.packing import pack
from crosslight.shipped import MODEL, PROMENADE, WEIGHTS
from crosslight.training.weights import load_weights

SIZE = {"height": 128, "width": 64}
LEARN = {"layout": "table", "val_people": 0, "test_people": 0, "images_per_camera": 2, "seed": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--packed", type=Path, default=WEIGHTS / PROMENADE)
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--epochs", type=int, help="of 100 batches of 192 images; as the recipe")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--run", type=Path, help="a run that is trained already: score and pack it")
    asked = parser.parse_args()
    run = asked.run or _train(asked)
    known = load_weights(run / MODEL)[0].num_ids
    if known != asked.people:
        raise SystemExit(
            f"{run} learnt from {known} people, not {asked.people}; say --people {known}."
        )
    about = (
        "A two-stream ResNet that embeds visible, near-infrared and thermal images of people; "
        f"learnt from {asked.people:,} drawn people of {asked.worlds} worlds, no real person's "
        "picture went in."
    )
    packed = pack(run, asked.out / "packed", about=about, facts={})
    scores, chance = _scored(packed, asked.out, asked.workers)
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    done = [line for line in log if "losses" in line][-1]
    batch = config["data"]["ids_per_batch"] * sum(
        config["data"][key] for key in ("visible_per_id", "infrared_per_id")
    )
    wishes = {"people": asked.people, "worlds": asked.worlds, **LEARN, **SIZE}
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in wishes.items())
    facts = {
        "made_with": [
            f"crosslight data make promenade learn {flags}",
            "crosslight train weights --data table:learn --out run --set "
            f"config.epochs={config['config']['epochs']} --set training.precision="
            f"{config['training']['precision']}",
        ],
        "images_seen": done["iteration"] * batch,
        "training_seed": config["training"]["seed"],
        "training_fingerprint": config["data_set"]["fingerprint"],
        "scored_with": {
            "protocol": PROTOCOL,
            "worlds": [f"--seed {seed} --first-world 1" for seed in SEEDS],
            "people_of_each": PEOPLE,
            "gallery": "visible images by other cameras: about 20 of each person, 10 where "
            "visible asks",
            "on": f"{platform.machine()}, torch {torch.__version__.split('+')[0]}",
        },
        "scores": scores,
        "chance": chance,
        "not_tested_on": "people's photographs, but for ten people of one video; other light "
        "than these three; children, wheelchairs, umbrellas, uniforms",
    }
    print(json.dumps(facts["scores"], indent=2))
    print(pack(run, asked.packed, about=about, facts=facts))


def _train(asked: argparse.Namespace) -> Path:
    learn, run = asked.out / "learn", asked.out / "run"
    sizes = {"people": asked.people, "worlds": asked.worlds, "workers": asked.workers}
    make(learn, **LEARN, **SIZE, **sizes)
    settings = {"training.precision": asked.precision, "data.workers": asked.workers}
    if asked.epochs:
        settings["config.epochs"] = asked.epochs
    overrides = [f"{key}={value}" for key, value in settings.items()]
    cl.fit("weights", data=f"table:{learn}", out=run, overrides=overrides)
    return run


def _scored(packed: Path, out: Path, workers: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Percent over the worlds: mean and sd for each light that asks visible images; and chance."""
    found = results_by_light(packed, out, out / "evaluations", workers=workers, **SIZE)
    return (
        {light: _summary([result.mean for result, _ in both]) for light, both in found.items()},
        {light: _summary([chance.mean for _, chance in both]) for light, both in found.items()},
    )


def _summary(results: list[Any]) -> dict[str, dict[str, float]]:
    return {
        key: {
            "mean": round(100 * fmean(result[key] for result in results), 2),
            "sd": round(100 * stdev(result[key] for result in results), 2),
        }
        for key in ("rank1", "mAP", "mINP")
    }


if __name__ == "__main__":
    main()
