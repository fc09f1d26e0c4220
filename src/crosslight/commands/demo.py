"""The main job in one command: make people, train, score, enrol, report."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crosslight.commands.evaluate import print_evaluation
from crosslight.commands.report import write_report
from crosslight.commands.train import run_training
from crosslight.experiments.evaluation import Evaluation, evaluate_run
from crosslight.experiments.options import Evaluating
from crosslight.files import write_text
from crosslight.shipped import PROMENADE
from crosslight.training.machines import Machines

RECIPE = "demo"
START = "start"
GALLERY = "gallery.lance"
SHEET = "infrared-queries.png"
PROTOCOLS = ("sysu-mm01/all/1", "sysu-mm01/indoor/1")


def run_demo(out: Path, *, seed: int = 0, workers: int = 2) -> None:
    """Makes `data/`, `start/`, `run/`, `gallery.lance/`, `metrics.json` and `report.html` in `out`.

    Run again after an interruption, it continues where it was.
    """
    from crosslight.config import load_recipe
    from crosslight.data.promenade import make

    config = load_recipe(RECIPE)
    seconds: dict[str, float] = {}
    data, run = out / "data", out / "run"
    argument = f"sysu-mm01:{data}"

    how = Evaluating(protocols=PROTOCOLS, workers=workers)
    with _step("1/6  Drawing people who do not exist", seconds, "draw the people"):
        make(
            data,
            preset="mini",
            layout="sysu-mm01",
            height=config.data.height,
            width=config.data.width,
            seed=seed,
            workers=workers,
        )
    with _step("2/6  Searching with the weights that ship", seconds, "search first"):
        start = evaluate_run(Path(PROMENADE), argument, how, out=out / START)
        print_evaluation(start)
    with _step("3/6  Training on some of them", seconds, "train"):
        run_training(
            RECIPE,
            argument,
            run,
            overrides=(f"training.seed={seed}", f"data.workers={workers}"),
            machines=Machines(accelerator="cpu"),
        )
    with _step("4/6  Searching for the others across light", seconds, "embed and score"):
        evaluation = evaluate_run(run, argument, how)
        print_evaluation(evaluation)
        write_text(out / "metrics.json", json.dumps(evaluation.to_json(), indent=2) + "\n")
    with _step("5/6  Enrolling them in a gallery that can be searched", seconds, "enrol"):
        # Imported here: LanceDB should not be there yet when the steps above start processes.
        from crosslight.commands.gallery.demo import make_gallery

        gallery = make_gallery(out / GALLERY, run=run, data=data, sheet=out / SHEET)
    with _step("6/6  Writing the report", seconds, "report"):
        page = write_report(
            run,
            evaluation,
            out / "report.html",
            start=start,
            seconds=seconds,
            calibration=gallery.calibration,
            search_sheet=gallery.sheet,
        )

    _tell(out, evaluation, start, page, query=gallery.query)


def _tell(out: Path, evaluation: Evaluation, start: Evaluation, page: Path, *, query: Path) -> None:
    data = out / "data"
    result, chance = (
        evaluation.results[PROTOCOLS[0]].mean,
        evaluation.chance[PROTOCOLS[0]].mean,
    )
    before = start.results[PROTOCOLS[0]].mean
    print()
    print(
        f"An infrared image finds its person first in {100 * result['rank1']:.1f} % of cases; "
        f"{100 * before['rank1']:.1f} % before training here; "
        f"guessing finds {100 * chance['rank1']:.1f} %."
    )
    print(f"Report:   {page.resolve()}")
    print(f"Search:   crosslight serve {out / GALLERY}")
    print(f"          crosslight gallery search {out / GALLERY} {query}")
    print(f"Try next: crosslight data show {data} --out sheet.png")
    print(f"          crosslight train agw-promenade --data sysu-mm01:{data} --out {out / 'agw'}")
    print("          crosslight recipes")


@contextmanager
def _step(title: str, seconds: dict[str, float], name: str) -> Iterator[None]:
    print(f"\n{title}", flush=True)
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
