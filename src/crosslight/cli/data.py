"""The commands of data sets: names, flags and help; see `crosslight.cli`."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional
from tyro.extras import SubcommandApp

from crosslight.cli.flat import Flat
from crosslight.data.promenade.wishes import Wishes
from crosslight.ranges import Count, Reading, Seed, Trial, Workers, in_range

data_app = SubcommandApp()
make_app = SubcommandApp()
data_app.command(make_app, name="make", help="Draw a procedural data set.")


@make_app.command(name="promenade")
@in_range
def make_promenade(
    out: Positional[Path],
    *,
    wishes: Flat[Wishes],
    workers: Workers = 2,
) -> None:
    """Draw Promenade, the procedural data set, in the layout of a published one.

    Args:
        out: Folder to write; a killed run continues where it was.
        wishes: What it should be.
        workers: Processes that draw.
    """
    from crosslight.commands.data import make_promenade as run

    run(out, wishes, workers=workers)


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
