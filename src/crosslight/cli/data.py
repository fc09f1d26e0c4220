"""The commands of data sets: names, flags and help; see `crosslight.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import Positional
from tyro.extras import SubcommandApp

from crosslight.ranges import Count, Pixels, Reading, Seed, Trial, Workers, in_range

data_app = SubcommandApp()
make_app = SubcommandApp()
data_app.command(make_app, name="make", help="Draw a procedural data set.")


@make_app.command(name="promenade")
@in_range
def make_promenade(
    out: Positional[Path],
    *,
    preset: Literal["tiny", "mini", "small", "full"] = "mini",
    layout: Literal["sysu-mm01", "regdb", "market1501", "table"] = "sysu-mm01",
    people: int | None = None,
    val_people: int | None = None,
    test_people: int | None = None,
    images_per_camera: Count | None = None,
    worlds: Count = 1,
    first_world: int | None = None,
    height: Pixels = 256,
    width: Pixels = 128,
    seed: Seed = 0,
    workers: Workers = 2,
    infrared: Literal["near-infrared", "thermal"] | None = None,
    difficulty: Literal["easy", "default", "hard"] = "default",
) -> None:
    """Draw Promenade, the procedural data set, in the layout of a published one.

    Args:
        out: Folder to write; a killed run continues where it was.
        preset: How many people and images; tiny is for trying commands out, full is as large as
            the published set.
        layout: Whose folders, names and split files. table: visible, near-infrared and thermal
            images of the same people, and a table of them.
        people: People for training. None: the preset's.
        val_people: People for validation. None: the preset's.
        test_people: People for testing. None: the preset's.
        images_per_camera: Images of every person by every camera that sees them. None: the
            preset's.
        worlds: Worlds that the people live in, each with cameras, backgrounds, light and wardrobe
            of its own.
        first_world: Number of the first world. None: 0 for one world, the standard one, whose
            cameras are the same for every seed; 1 for several.
        height: Image height in pixels.
        width: Image width in pixels.
        seed: Decides every image; the same seed gives the same bytes for any number of workers.
        workers: Processes that draw.
        infrared: Spectrum of the infrared cameras. None: the layout's own, near-infrared for
            sysu-mm01, thermal for regdb and both for table.
        difficulty: How hard people are to tell apart and cameras to reconcile.
    """
    from crosslight.commands.data import make_promenade as run

    run(
        out,
        preset=preset,
        layout=layout,
        people=people,
        val_people=val_people,
        test_people=test_people,
        images_per_camera=images_per_camera,
        worlds=worlds,
        first_world=first_world,
        height=height,
        width=width,
        seed=seed,
        workers=workers,
        infrared=infrared,
        difficulty=difficulty,
    )


@data_app.command(name="check")
@in_range
def check_data(
    layout: Positional[str],
    root: Positional[Path],
    *,
    trial: Trial = 1,
    headers_only: bool = False,
    deep_range: tuple[Reading, Reading] | None = None,
) -> None:
    """Count people, cameras and images against the published figures and explain every fault.

    Args:
        layout: market1501, dukemtmc, msmt17, sysu-mm01, regdb, llcm or table.
        root: Folder of the data set, or the CSV or Parquet file of a table.
        trial: Split number, for layouts that have several (regdb: 1 to 10).
        headers_only: Do not decode the images; faster, finds fewer faults.
        deep_range: Values of black and white in images of one channel with more than 8 bits.
    """
    from crosslight.commands.data import check

    check(layout, root, trial=trial, read_images=not headers_only, deep_range=deep_range)


@data_app.command(name="show")
@in_range
def show_data(
    root: Positional[str],
    *,
    out: Path = Path("sheet.png"),
    people: Count = 8,
    split: str | None = None,
    seed: Seed = 0,
    deep_range: tuple[Reading, Reading] | None = None,
) -> None:
    """Draw a contact sheet: a row per person, a column per camera and light.

    Args:
        root: Folder of a data set in a known layout, or LAYOUT:ROOT.
        out: Picture to write.
        people: Rows.
        split: Only people of this split.
        seed: Decides which people and images are shown.
        deep_range: Values of black and white in images of one channel with more than 8 bits.
    """
    from crosslight.commands.data import show

    show(root, out, people=people, split=split, seed=seed, deep_range=deep_range)
