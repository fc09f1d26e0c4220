"""The commands: names, flags and help. What they do is in `crosslight.commands`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, UseAppendAction, arg
from tyro.extras import SubcommandApp

from crosslight.cli.data import data_app
from crosslight.cli.endings import spoken
from crosslight.cli.gallery import gallery_app, serve
from crosslight.ranges import Count, Processes, Seed, Trial, Workers, in_range
from crosslight.types import Accelerator, Distance, Light
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
Expand = Annotated[int | None, arg(metavar="K")]


@app.command(name="demo")
@in_range
def demo(*, out: Path = Path("crosslight-demo"), seed: Seed = 0, workers: Workers = 2) -> None:
    """Make people, train, score, enrol and report, all in one: 8 to 15 minutes on 2 cores.

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
    accelerator: Accelerator = "auto",
    devices: Processes = 1,
    nodes: Processes = 1,
) -> None:
    """Train a method; the same command continues a training that was cut off.

    Args:
        recipe: Name of a shipped recipe (see `crosslight recipes`) or a YAML file.
        data: Data set.
        out: Run folder: configuration, log, checkpoints, weights.
        trial: Split number, for layouts that have several (regdb: 1 to 10).
        overrides: Changes of the recipe.
        accelerator: Where to train.
        devices: Processes on each node, one per device.
        nodes: Machines.
    """
    from crosslight.commands.train import run_training

    run_training(
        recipe,
        data,
        out,
        trial=trial,
        overrides=overrides,
        accelerator=accelerator,
        devices=devices,
        nodes=nodes,
    )


@app.command(name="evaluate")
@in_range
def evaluate(
    run: Positional[Path],
    *,
    data: DataArgument,
    trial: Trial = 1,
    protocols: Annotated[UseAppendAction[tuple[str, ...]], arg(name="protocol")] = (),
    distance: Distance | None = None,
    sampler: Literal["seeded", "official"] = "seeded",
    permutations: Path | None = None,
    flip: bool = False,
    unit_views: bool = False,
    code: str | None = None,
    rerank: Switch = False,
    expand: Expand = None,
    workers: Workers = 2,
) -> None:
    """Embed the test images of a data set with a trained run and score them.

    Args:
        run: Run folder.
        data: Data set.
        trial: Split number, for layouts that have several.
        protocols: Protocols to score; repeatable. None: all that fit the layout.
        distance: How embeddings are compared. None: as the method says.
        sampler: Gallery sampler of sysu-mm01.
        permutations: rand_perm_cam.mat for the official sampler; None: looked for in the data set.
        flip: Sum the embeddings of each image and its mirror image; recorded in the result.
        unit_views: With --flip: bring both to length 1 before, as CAJ's test program does.
        code: Score one of the method's codes instead, e.g. dgnet's teacher, into files of its own.
        rerank: Also score after k-reciprocal re-ranking (k1 20, k2 6, lambda 0.3), in rows of
            their own.
        expand: Also score after query expansion by so many nearest images, in rows of their own.
        workers: Processes that load images.
    """
    from crosslight.commands.evaluate import print_evaluation
    from crosslight.commands.refinement_flags import chosen_refinements
    from crosslight.experiments.evaluation import evaluate_run

    evaluation = evaluate_run(
        run,
        data,
        trial=trial,
        protocols=protocols,
        distance=distance,
        sampler=sampler,
        permutations=permutations,
        flip=flip,
        unit_views=unit_views,
        code=code,
        refinements=chosen_refinements(rerank=rerank, expand=expand),
        workers=workers,
    )
    print_evaluation(evaluation)


@app.command(name="score")
@in_range
def score(
    features: Positional[Path],
    *,
    protocol: str,
    distance: Distance = "cosine",
    sampler: Literal["seeded", "official"] = "seeded",
    permutations: Path | None = None,
    average_precision: Literal["rectangular", "trapezoid"] = "rectangular",
    rerank: Switch = False,
    k1: int | None = None,
    k2: int | None = None,
    share: float | None = None,
    expand: Expand = None,
    block: int | None = None,
    json: Path | None = None,
) -> None:
    """Score features made by any program; docs/features-format.md describes the file.

    Args:
        features: .npz with feats, pids, cams, modality and split or paths; or .npy (embeddings)
            with a .csv of the same name beside it (pid, cam, modality, split, path); or .parquet
            with all of these columns.
        protocol: E.g. market1501 or sysu-mm01/all/1.
        distance: How features are compared; dot: larger is nearer.
        sampler: Gallery sampler of sysu-mm01.
        permutations: rand_perm_cam.mat for the official sampler.
        average_precision: Area under the precision-recall curve; rectangular is the usual one.
        rerank: Also score after k-reciprocal re-ranking, in rows of their own.
        k1: Neighbours that a set of the re-ranking is made of; by default 20.
        k2: Neighbours whose weights the re-ranking averages; by default 6.
        share: Weight of the original distance in the re-ranking, the paper's lambda; by default
            0.3.
        expand: Also score after query expansion by so many nearest images, in rows of their own.
        block: Queries multiplied at once, by default 512; fewer need less memory.
        json: Also write the scores here.
    """
    from crosslight.commands.refinement_flags import chosen_refinements
    from crosslight.commands.score import run_score
    from crosslight.evaluation.ranking.effort import Effort

    run_score(
        features,
        protocol=protocol,
        distance=distance,
        sampler=sampler,
        permutations=permutations,
        average_precision=average_precision,
        refinements=chosen_refinements(rerank=rerank, expand=expand, k1=k1, k2=k2, share=share),
        effort=Effort(block=block),
        json_path=json,
    )


@app.command(name="ablate")
@in_range
def ablate(
    recipe: Positional[str],
    *,
    data: DataArgument,
    out: Path,
    switches: tuple[str, ...] = (),
    cumulative: bool = False,
    against: tuple[str, ...] = (),
    seeds: tuple[Seed, ...] = (0,),
    images: Count | None = None,
    overrides: OmitArgPrefixes[Overrides] = (),
    protocols: Annotated[UseAppendAction[tuple[str, ...]], arg(name="protocol")] = (),
    trial: Trial = 1,
    accelerator: Accelerator = "auto",
) -> None:
    """Train variants of a recipe under one budget and compare them in a table and a figure.

    The same command continues where it was cut off; other variants and seeds can be added to the
    same folder later.

    Args:
        recipe: Name of a shipped recipe or a YAML file; it is itself the first variant.
        data: Data set.
        out: Folder for a run per variant and seed, and for ablation.md, .json and .png.
        switches: Variants: names that the method knows, several at once joined by +, or
            NAME:KEY=VALUE,KEY=VALUE.
        cumulative: Each switch is added to those before it.
        against: Other recipes, as they are.
        seeds: Each variant is trained once with each.
        images: Training images that every variant sees; its lengths are scaled. None: as its
            recipe says.
        overrides: Changes of every variant.
        protocols: Protocols to score; repeatable. None: all that fit the layout.
        trial: Split number, for layouts that have several.
        accelerator: Where to train.
    """
    from crosslight.commands.ablate import run_rows
    from crosslight.experiments.ablation import ablate as ablate_rows

    rows = ablate_rows(
        recipe,
        data,
        out,
        switches=switches,
        cumulative=cumulative,
        against=against,
        seeds=seeds,
        images=images,
        overrides=overrides,
        protocols=protocols,
        trial=trial,
        accelerator=accelerator,
    )
    run_rows(rows, out)


@app.command(name="swap")
@in_range
def swap(
    run: Positional[Path],
    *,
    appearance: tuple[Path, ...] = (),
    structure: tuple[Path, ...] = (),
    out: Path = Path("swap.png"),
    each: Path | None = None,
    interpolate: int = 0,
    limit: Count = 8,
    cases: Annotated[str | None, arg(metavar="LAYOUT:ROOT")] = None,
    maps: Path | None = None,
    trial: Trial = 1,
) -> None:
    """Draw people in other people's clothes: a grid of clothes (columns) on bodies (rows).

    Args:
        run: Run folder of a method that can, such as dgnet.
        appearance: Images whose clothes are put on, or folders of them.
        structure: Images whose body, pose and background stay, or folders of them.
        out: Picture to write; its first row and column are the inputs.
        each: Folder for every drawn image as a file of its own.
        interpolate: Steps to draw between the clothes of each two neighbouring columns.
        limit: Images taken from a folder at most, spread evenly over its names; with cases, the
            meetings of each.
        cases: Instead of given images, test people of this data set: the same person in the same
            light, different people across light, and different people in the same light.
        maps: Also draw what the run takes for the structure of the bodies (with cases: of those
            who meet across light) into this picture.
        trial: Split number of the data set of cases, for layouts that have several.
    """
    from crosslight.commands.swap import run_swap

    run_swap(
        run,
        appearance=appearance,
        structure=structure,
        out=out,
        each=each,
        interpolate=interpolate,
        limit=limit,
        cases=cases,
        maps=maps,
        trial=trial,
    )


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
    from crosslight.types import Modality

    run_translation(run, images=images, to=Modality[to.upper()], out=out, rows=rows)


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; a user's mistake is one sentence and a non-zero exit code."""
    # Threads of torch that wait for each other otherwise spin, and where the cores are shared
    # with loading processes or other users, that multiplies the work. Must precede torch's import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with spoken():
        if list(sys.argv[1:] if arguments is None else arguments) in (["--version"], ["-V"]):
            print(f"crosslight {__version__}")
            return
        app.cli(prog="crosslight", description=DESCRIPTION, args=arguments)
