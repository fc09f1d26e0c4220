"""The commands: names, flags and help. What they do is in `crosslight.commands`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, UseAppendAction, arg
from tyro.extras import SubcommandApp

from crosslight.cli.data import data_app
from crosslight.cli.endings import spoken
from crosslight.cli.flat import Flat
from crosslight.cli.gallery import gallery_app, serve
from crosslight.cli.people import people as _people  # noqa: F401  its commands are the gallery's
from crosslight.cli.repeats import refuse_repeats
from crosslight.cli.users import users_app
from crosslight.drawing.options import Swapping
from crosslight.evaluation.scoring import Scoring
from crosslight.experiments.options import (
    Ablating,
    Evaluating,
    Exporting,
    Filling,
    Probing,
    Refining,
)
from crosslight.ranges import Count, Seed, Trial, Workers, in_range
from crosslight.training.machines import Machines
from crosslight.types import LIGHTS, Light
from crosslight.version import __version__

app = SubcommandApp()
DESCRIPTION = (
    "Find the same person across cameras that see in different light. "
    "--version says which version this is."
)

DataArgument = Annotated[
    str, arg(metavar="LAYOUT:ROOT", help="Data set, e.g. sysu-mm01:/data/SYSU-MM01.")
]
Overrides = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(name="set", metavar="KEY=VALUE", help="Changes one key of the recipe; repeatable."),
]
Switch = Annotated[bool, FlagCreatePairsOff]
Protocols = Annotated[UseAppendAction[tuple[str, ...]], arg(name="protocol")]


@app.command(name="demo")
@in_range
def demo(*, out: Path = Path("crosslight-demo"), seed: Seed = 0, workers: Workers = 2) -> None:
    """Make people, train, score, enrol and report, all in one: about 5 minutes on 2 cores.

    Args:
        out: Folder for data/, run/, gallery.lance, report.html and metrics.json.
        seed: Decides the people and the training.
        workers: Processes that draw and load images.
    """
    from crosslight.commands.demo import run_demo

    run_demo(out, seed=seed, workers=workers)


app.command(data_app, name="data", help="Make, check and look at data sets.")


@app.command(name="recipes")
def recipes(name: Positional[str | None] = None, /) -> None:
    """List the recipes, or print one to start your own from.

    Args:
        name: The recipe to print.
    """
    from crosslight.commands.recipes import list_recipes, print_recipe

    if name is None:
        list_recipes()
    else:
        print_recipe(name)


@app.command(name="train")
@in_range
def train(
    recipe: Positional[str],
    *,
    data: DataArgument,
    out: Path,
    trial: Trial = 1,
    overrides: OmitArgPrefixes[Overrides] = (),
    machines: Flat[Machines],
) -> None:
    """Train a method; the same command continues a training that was cut off.

    Args:
        recipe: Name of a shipped recipe (see `crosslight recipes`) or a YAML file.
        data: Data set.
        out: Run folder: configuration, log, checkpoints, weights.
        trial: Split number, for layouts that have several (regdb: 1 to 10).
        overrides: Changes of the recipe.
        machines: Where it runs.
    """
    from crosslight.commands.train import run_training

    run_training(recipe, data, out, machines=machines, trial=trial, overrides=overrides)


@app.command(name="import")
def import_released(
    system: Positional[str],
    files: Positional[tuple[Path, ...]],
    *,
    out: Path,
    overrides: OmitArgPrefixes[Overrides] = (),
) -> None:
    """Make a run of weights that another program released; docs/models.md says which.

    Args:
        system: agw, bdtr, caj, cmpig, d2rl, dgnet, hicmd or proposed-2020.
        files: The program's checkpoints, in any order, and its YAML files.
        out: Run folder, a new one.
        overrides: Changes of the configuration that recipe, shapes and YAML make.
    """
    from crosslight.commands.import_released import run_import

    run_import(system, files, out, overrides=overrides)


@dataclass(frozen=True, kw_only=True)
class _Exporting(Exporting):
    flip: Switch = Exporting.flip
    unit_views: Switch = Exporting.unit_views
    int8: Switch = Exporting.int8
    fp16: Switch = Exporting.fp16
    calibrate: Annotated[str | None, arg(metavar="LAYOUT:ROOT")] = Exporting.calibrate
    data: Annotated[str | None, arg(metavar="LAYOUT:ROOT")] = Exporting.data


@app.command(name="export")
@in_range
def export(run: Positional[Path], *, out: Path, exporting: Flat[_Exporting]) -> None:
    """Make a model of a run that embeds without torch, and keep it only if it is as good.

    Normalisation, mirror images and the length of embeddings are part of its graph, which takes
    any number of images. `evaluate` and `gallery create --model` take the result as a run.

    Args:
        run: Run folder, or promenade, the weights that come with crosslight.
        out: Folder for the graphs and export.json, a new one.
        exporting: What and how.
    """
    from crosslight.commands.export import run_export

    run_export(run, out, exporting)


@dataclass(frozen=True, kw_only=True)
class _Evaluating(Evaluating):
    protocols: Protocols = Evaluating.protocols


@dataclass(frozen=True, kw_only=True)
class _Refining(Refining):
    rerank: Switch = Refining.rerank
    expand: Annotated[int | None, arg(metavar="K")] = Refining.expand


@app.command(name="evaluate")
@in_range
def evaluate(
    run: Positional[Path],
    *,
    data: DataArgument,
    out: Path | None = None,
    evaluating: Flat[_Evaluating],
    refining: Flat[_Refining],
) -> None:
    """Embed the test images of a data set with a trained run and score them.

    Args:
        run: Run folder.
        data: Data set.
        out: Folder for the results, which compare takes too. None: the run's, in place of its last
            ones.
        evaluating: How.
        refining: After which refinements too.
    """
    from crosslight.commands.evaluate import print_evaluation
    from crosslight.experiments.evaluation import evaluate_run

    print_evaluation(evaluate_run(run, data, evaluating, refinements=refining.chosen(), out=out))


@app.command(name="score")
@in_range
def score(
    features: Positional[Path],
    *,
    protocol: str,
    scoring: Flat[Scoring],
    refining: Flat[_Refining],
    block: int | None = None,
    json: Path | None = None,
) -> None:
    """Score features made by any program; docs/features-format.md describes the file.

    Args:
        features: .npz with feats, pids, cams, modality and split or paths; or .npy (embeddings)
            with a .csv of the same name beside it (pid, cam, modality, split, path); or .parquet
            with all of these columns.
        protocol: E.g. market1501 or sysu-mm01/all/1.
        block: Queries multiplied at once, by default 512; fewer need less memory.
        json: Also write the scores here.
        scoring: How.
        refining: After which refinements too.
    """
    from crosslight.commands.score import run_score
    from crosslight.evaluation.ranking.effort import Effort

    run_score(
        features,
        protocol,
        scoring,
        refinements=refining.chosen(),
        effort=Effort(block=block),
        json_path=json,
    )


@dataclass(frozen=True, kw_only=True)
class _Ablating(Ablating):
    overrides: OmitArgPrefixes[Overrides] = Ablating.overrides
    protocols: Protocols = Ablating.protocols


@app.command(name="ablate")
@in_range
def ablate(
    recipe: Positional[str],
    *,
    data: DataArgument,
    out: Path,
    ablating: Flat[_Ablating],
) -> None:
    """Train variants of a recipe under one budget and compare them in a table and a figure.

    The same command continues where it was cut off; other variants and seeds can be added to the
    same folder later.

    Args:
        recipe: Name of a shipped recipe or a YAML file; it is itself the first variant.
        data: Data set.
        out: Folder for a run per variant and seed, and for ablation.md, .json and .png.
        ablating: What and how.
    """
    from crosslight.commands.ablate import run_rows
    from crosslight.experiments.ablation import ablate as ablate_rows

    run_rows(ablate_rows(recipe, data, out, ablating), out)


@dataclass(frozen=True, kw_only=True)
class _Filling(Filling):
    overrides: OmitArgPrefixes[Overrides] = Filling.overrides
    only_table: Switch = Filling.only_table


@app.command(name="leaderboard")
@in_range
def leaderboard(
    board: Positional[Path],
    *,
    data: Annotated[tuple[str, ...], arg(metavar="LAYOUT:ROOT")] = (),
    filling: Flat[_Filling],
) -> None:
    """Train systems of the literature under one budget, and rank them in a table and a picture.

    The same command continues where it was cut off, without the flags of the budget, which the
    board keeps. Several processes, and machines that share the folder, may fill it together.

    Args:
        board: Folder for the budget, a small file per system, data set and seed, and
            leaderboard.md, .json and .png.
        data: Data sets, at most one of each layout.
        filling: Whom, and under which budget.
    """
    from crosslight.commands.leaderboard import run_leaderboard

    run_leaderboard(board, data, filling)


@app.command(name="compare")
def compare(
    runs: Positional[tuple[Path, ...]],
    *,
    protocols: Protocols = (),
    out: Path | None = None,
) -> None:
    """Set evaluated runs beside each other, and say which cannot be told apart.

    Args:
        runs: Run folders, or folders of run folders, all evaluated on the same images.
        protocols: Only these protocols; repeatable. None: all that the runs have in common.
        out: Folder for comparison.md, .json and .png, and probes.md of runs that were probed.
            None: only print the tables.
    """
    from crosslight.commands.compare import run_compare

    run_compare(runs, protocols=protocols, out=out)


@dataclass(frozen=True, kw_only=True)
class _Swapping(Swapping):
    cases: Annotated[str | None, arg(metavar="LAYOUT:ROOT")] = Swapping.cases


@app.command(name="swap")
@in_range
def swap(run: Positional[Path], *, swapping: Flat[_Swapping]) -> None:
    """Draw people in other people's clothes: a grid of clothes (columns) on bodies (rows).

    Args:
        run: Run folder of a method that can, such as dgnet.
        swapping: Who and how.
    """
    from crosslight.commands.swap import run_swap

    run_swap(run, swapping)


@app.command(name="translate")
@in_range
def translate(
    run: Positional[Path],
    *,
    images: Path,
    to: Light,
    out: Path,
    rows: Count = 8,
) -> None:
    """Draw images in the other light; of Promenade's people also the true image and the scores.

    Args:
        run: Run folder of a method that can, such as d2rl.
        images: Folder of images of the other light, or one image. Of Promenade's, those that are
            in the wanted light already are left out.
        to: The light to draw them in.
        out: Folder for images/, sheet.png and scores.json.
        rows: Images on the sheet at most, spread evenly over the names.
    """
    from crosslight.commands.translate import run_translation

    run_translation(run, images=images, to=LIGHTS[to], out=out, rows=rows)


@app.command(name="probe")
@in_range
def probe(run: Positional[Path], *, data: DataArgument, probing: Flat[Probing]) -> None:
    """Measure what a run's codes know, and how true the pictures are that it draws.

    A part that is measured already is not measured again. The report of the run shows the result.

    Args:
        run: Run folder of a method with codes, or one that draws.
        data: Data set; of Promenade new people are drawn, of others the test images are taken.
        probing: On whom and how long.
    """
    from crosslight.commands.probe import run_probe

    run_probe(run, data, probing)


app.command(gallery_app, name="gallery", help="Enrol people and search for them.")


@app.command(name="report")
def report(
    run: Positional[Path],
    *,
    out: Path | None = None,
    code: str | None = None,
    gallery: str | None = None,
) -> None:
    """Write one self-contained HTML page about an evaluated run.

    Args:
        run: Run folder that `crosslight evaluate` has scored.
        out: Page to write; None: report.html in the run folder.
        code: Show one of the method's codes, scored with `evaluate --code`, in its place.
        gallery: Store that the run filled; the page then shows its calibration.
    """
    from crosslight.commands.report import run_report

    run_report(run, out, code=code, gallery=gallery)


app.command(name="serve")(serve)
app.command(users_app, name="users", help="Say who may use a service, and what each may do.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; a user's mistake is one sentence and a non-zero exit code."""
    # Threads of torch that wait for each other otherwise spin, and where the cores are shared
    # with loading processes or other users, that multiplies the work. Must precede torch's import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with spoken():
        typed = list(sys.argv[1:] if arguments is None else arguments)
        if typed in (["--version"], ["-V"]):
            print(f"crosslight {__version__}")
            return
        refuse_repeats(typed)
        app.cli(prog="crosslight", description=DESCRIPTION, args=arguments)
