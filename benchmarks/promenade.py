"""How many Promenade images one core draws per second, by size and spectrum.

Run `python benchmarks/promenade.py [--images N]`. Times are process CPU time, so that other work
on the machine does not count; compilation is done before the clock starts.
"""

import argparse
import time

from rich.console import Console
from rich.table import Table

from crosslight.data.promenade import Spectrum, World
from crosslight.data.promenade.cameras import INFRARED_CAMERAS, VISIBLE_CAMERAS

SIZES = ((128, 64), (256, 128))


def images_per_second(
    world: World, spectrum: Spectrum, size: tuple[int, int], images: int
) -> float:
    cameras = VISIBLE_CAMERAS if spectrum == Spectrum.VISIBLE else INFRARED_CAMERAS
    shots = [
        world.shot(1 + number % world.ids, cameras[number % len(cameras)], number, spectrum)
        for number in range(images)
    ]
    world.render(shots[0], *size)
    started = time.process_time()
    for shot in shots:
        world.render(shot, *size)
    return images / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="images per measurement")
    arguments = parser.parse_args()
    world = World(0, 50)
    table = Table("size", *(spectrum.value for spectrum in Spectrum))
    table.title = "Promenade, images per second and core (CPU time)"
    for size in SIZES:
        speeds = [
            images_per_second(world, spectrum, size, arguments.images) for spectrum in Spectrum
        ]
        table.add_row(f"{size[0]}x{size[1]}", *(f"{speed:.0f}" for speed in speeds))
    Console().print(table)


if __name__ == "__main__":
    main()
