"""What makes drawn people teach: how many they are, how long one looks, which network and batch.

Run `python tools/learning_curves.py --out FOLDER [--only people length batch network loss]`. Draws
8,000 people of 20 worlds and three unseen worlds, trains the `weights` recipe in its variants and
scores each in every light; FOLDER/rows.jsonl keeps what is done, and the same command continues.
Images are small (64 x 32), so that hours of two cores suffice for the shape of the curves.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import matplotlib.pyplot as plt
import polars as pl
from unseen_worlds import LIGHTS, results_by_light

import crosslight as cl
from crosslight.data.promenade import make

SIZE = {"height": 64, "width": 32}
PEOPLE, WORLDS = 8000, 20
EPOCH = 19_200
"""Images of an epoch: 100 batches of 192."""
SHORT, USUAL = 3, 5


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training of the `weights` recipe.

    Attributes:
        question: The table that it belongs to.
        name: What is changed.
        people: How many teach, equally many of each world.
        epochs: Of 19,200 images.
        overrides: Further changes of the recipe.
        seed: Of the training.
    """

    question: str
    name: str
    people: int = PEOPLE
    epochs: int = USUAL
    overrides: tuple[str, ...] = ()
    seed: int = 0

    @property
    def folder(self) -> str:
        """Where its run lies; rows of several tables that are one training share it."""
        changes = "".join(f"-{change.replace('config.', '')}" for change in self.overrides)
        return f"{self.people}-{self.epochs}{changes}-{self.seed}".replace(" ", "")


def _by_people(seed: int) -> Iterator[Row]:
    """Of 120 people, 6 live in a world: no batch of 24 of one world."""
    for people in (120, 500, 2000, 8000):
        overrides = ("data.sites=mixed",)
        yield Row(
            question="people", name=f"{people:,}", people=people, overrides=overrides, seed=seed
        )


ROWS = (
    *_by_people(seed=0),
    *(Row(question="length", name=f"{n * EPOCH:,}", epochs=n) for n in (1, 2, 5, 10)),
    *(
        Row(question="network", name=name, epochs=SHORT, overrides=(f"config.backbone={name}",))
        for name in ("resnet10-half", "resnet18-half", "resnet18")
    ),
    *(
        Row(
            question="batch",
            name=f"{people} people, {images} + {images} images",
            epochs=SHORT,
            overrides=(
                f"data.ids_per_batch={people}",
                f"data.visible_per_id={images}",
                f"data.infrared_per_id={images}",
            ),
        )
        for people, images in ((24, 4), (48, 2), (96, 1))
    ),
    *(
        Row(question="loss", name=name, epochs=SHORT, overrides=changes)
        for name, changes in {
            "as the recipe": (),
            "triplet hard": ("config.triplet=hard",),
            "no smoothing": ("config.label_smoothing=0",),
            "one part": ("config.parts=1",),
            "no erasing": ("data.augmentation.erasing=0",),
            "sites together": ("data.sites=mixed",),
        }.items()
    ),
    *_by_people(seed=1),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    for row in ROWS:
        if not asked.only or row.question in asked.only:
            _measure(row, asked.out, asked.workers)
    rows = list(_rows(asked.out))
    print(_tables(rows))
    _draw(rows, asked.out / "learning-curves.png")


def _measure(row: Row, out: Path, workers: int) -> None:
    """Trains and scores, unless that was done, and appends the figures."""
    done = {(line["question"], line["name"], line["seed"]) for line in _rows(out)}
    if (row.question, row.name, row.seed) in done:
        return
    run = out / "runs" / row.folder
    cl.fit(
        "weights",
        data=f"table:{_learners(out, row.people, workers)}",
        out=run,
        overrides=(
            "config.backbone=resnet10-half",
            f"data.height={SIZE['height']}",
            f"data.width={SIZE['width']}",
            "data.augmentation.pad_px=3",
            f"data.workers={workers}",
            f"config.epochs={row.epochs}",
            f"training.seed={row.seed}",
            *row.overrides,
        ),
    )
    found = results_by_light(run, out, run / "evaluations", workers=workers, **SIZE)
    scores = {
        light: {key: [round(100 * r.mean[key], 2) for r, _ in both] for key in ("rank1", "mAP")}
        for light, both in found.items()
    }
    line = {**asdict(row), "images": row.epochs * EPOCH, "scores": scores}
    with (out / "rows.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _learners(out: Path, people: int, workers: int) -> Path:
    """A table of so many people; person p lives in world p modulo the number of worlds."""
    learn = out / "learn"
    make(
        learn, layout="table", people=PEOPLE, worlds=WORLDS, images_per_camera=1,
        val_people=0, test_people=0, seed=0, workers=workers, **SIZE,
    )  # fmt: skip
    path = learn / f"first-{people}.csv"
    if not path.exists():
        pl.read_csv(learn / "table.csv").filter(pl.col("pid") <= people).write_csv(path)
    return path


def _rows(out: Path) -> Iterator[dict[str, Any]]:
    path = out / "rows.jsonl"
    if path.exists():
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


def _tables(rows: list[dict[str, Any]]) -> str:
    """Rank-1 and mAP of every light, mean and sd over the worlds, a Markdown table a question."""
    lines: list[str] = []
    for question in dict.fromkeys(row["question"] for row in rows):
        lines += ["", f"| {question} | seed | " + " | ".join(LIGHTS) + " |"]
        lines += ["|---" * (2 + len(LIGHTS)) + "|"]
        for row in rows:
            if row["question"] == question:
                cells = [
                    " / ".join(map(_spread, row["scores"][light].values())) for light in LIGHTS
                ]
                lines.append(f"| {row['name']} | {row['seed']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(figures: list[float]) -> str:
    return f"{fmean(figures):.1f} ± {stdev(figures):.1f}"


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Curves of mAP against people, and against images seen, one line a light."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
    axes = {"people": "people", "length": "images"}
    for panel, (question, column) in zip(panels, axes.items(), strict=True):
        for light in LIGHTS:
            points: dict[float, list[float]] = {}
            for row in rows:
                if row["question"] == question:
                    points.setdefault(row[column], []).extend(row["scores"][light]["mAP"])
            places = sorted(points)
            means = [fmean(points[place]) for place in places]
            spreads = [stdev(points[place]) for place in places]
            panel.errorbar(places, means, spreads, marker="o", capsize=2, label=light)
        panel.set(xscale="log", xlabel={"images": "images seen"}.get(column, column))
    panels[0].set_ylabel("mAP in unseen worlds, %")
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
