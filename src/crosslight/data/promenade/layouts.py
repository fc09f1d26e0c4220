"""Which images a data set consists of, and where they go: the published layouts, exactly."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from crosslight.data.promenade.arrays import Integers
from crosslight.data.promenade.cameras import INFRARED_CAMERAS, THERMAL_CAMERAS, VISIBLE_CAMERAS
from crosslight.data.promenade.factors import Shot, Spectrum
from crosslight.data.promenade.layout_files import regdb_lists, sysu_files, table_files
from crosslight.data.promenade.recipe import Plan, PlannedImage, Recipe
from crosslight.data.promenade.sizes import LayoutName, Size
from crosslight.data.promenade.world import CROWD_SIZE, CROWD_START, World

_PLAN_STREAM, _JUNK_STREAM, _FACING_STREAM = 31, 37, 41
_REGDB_CAMERA = 4
_MARKET_FOLDERS = ("bounding_box_train", "bounding_box_test", "query", "gt_bbox", "gt_query")
_JUNK_INDEX = 10_000


# The share of people whom a camera never saw, as among the test people of SYSU-MM01. Cameras 1 and
# 2 see the same people, and everybody passes camera 6.
_INDOOR_SHARE = 0.58
_MISSED_SHARE = {3: 0.03, 4: 0.02, 5: 0.01}


def _splits(rng: np.random.Generator, sizes: dict[str, int]) -> dict[str, list[int]]:
    people = rng.permutation(sum(sizes.values())) + 1
    splits, start = {}, 0
    for name, size in sizes.items():
        splits[name] = sorted(int(pid) for pid in people[start : start + size])
        start += size
    return splits


def _cameras_of(rng: np.random.Generator, people: list[int]) -> dict[int, set[int]]:
    """The cameras that saw each person."""
    seen: dict[int, set[int]] = {pid: {3, 4, 5, 6} for pid in people}
    count = len(people)
    for pid in rng.permutation(people)[: max(1, round(_INDOOR_SHARE * count))]:
        seen[int(pid)] |= {1, 2}
    for camera, share in _MISSED_SHARE.items():
        for pid in rng.permutation(people)[: round(share * count)]:
            seen[int(pid)].discard(camera)
    return seen


def _images_by(
    rng: np.random.Generator,
    size: Size,
    pid: int,
    split: str,
    lights: dict[int, Spectrum],
    seen: set[int],
) -> list[PlannedImage]:
    """The images of a person by the cameras that saw them."""
    images: list[PlannedImage] = []
    for camera, spectrum in lights.items():
        low, high = size.images[split][spectrum != Spectrum.VISIBLE]
        count = int(rng.integers(low, high + 1))
        if camera in seen:
            images += [
                PlannedImage(
                    path=f"cam{camera}/{pid:04d}/{index + 1:04d}.jpg",
                    pid=pid,
                    person=pid,
                    camera=camera,
                    index=index,
                    spectrum=spectrum,
                    split=split,
                )
                for index in range(count)
            ]
    return images


def _plan_sysu(recipe: Recipe) -> Plan:
    size = recipe.size
    rng = np.random.default_rng([recipe.seed, _PLAN_STREAM, 0])
    splits = _splits(rng, size.people)
    infrared = recipe.infrared or Spectrum.NEAR_INFRARED
    lights = dict.fromkeys(VISIBLE_CAMERAS, Spectrum.VISIBLE)
    lights |= dict.fromkeys(INFRARED_CAMERAS, infrared)
    images: list[PlannedImage] = []
    for split, people in splits.items():
        seen = _cameras_of(rng, people)
        for pid in people:
            images += _images_by(rng, size, pid, split, lights, seen[pid])
    counts = Counter((image.camera, image.pid) for image in images)
    files = sysu_files(splits, counts, size.ids, recipe.seed)
    return Plan(
        ids=size.ids,
        images=tuple(images),
        files=files,
        folders=tuple(f"cam{camera}" for camera in sorted(lights)),
    )


def _plan_table(recipe: Recipe) -> Plan:
    """All lights of the same people: every camera sees everybody, two of them the heat."""
    size = recipe.size
    rng = np.random.default_rng([recipe.seed, _PLAN_STREAM, 3])
    lights = dict.fromkeys(VISIBLE_CAMERAS, Spectrum.VISIBLE)
    lights |= dict.fromkeys(INFRARED_CAMERAS, Spectrum.NEAR_INFRARED)
    lights |= dict.fromkeys(THERMAL_CAMERAS, Spectrum.THERMAL)
    wanted = {Spectrum.VISIBLE, *recipe.infrared_lights}
    seen = {camera for camera, spectrum in lights.items() if spectrum in wanted}
    images: list[PlannedImage] = []
    for split, people in _splits(rng, size.people).items():
        for pid in people:
            images += _images_by(rng, size, pid, split, lights, seen)
    return Plan(ids=size.ids, images=tuple(images), files=table_files(images, recipe.worlds))


def _facing(seed: int, pid: int) -> float:
    """In RegDB a person is seen either from the front or from the back."""
    return (0.0, np.pi)[np.random.default_rng([seed, _FACING_STREAM, pid]).integers(2)]


def _plan_regdb(recipe: Recipe) -> Plan:
    size = recipe.size
    ids, count = size.ids, size.train_images[0][1]
    world = World.of(recipe, ids)
    images, serial = [], 0
    paths: dict[str, dict[int, list[str]]] = {"visible": {}, "thermal": {}}
    for pid in range(1, ids + 1):
        sex = "female" if world.person(pid).body.sex > 0.5 else "male"
        side = "back" if _facing(recipe.seed, pid) else "front"
        for spectrum, letter in ((Spectrum.VISIBLE, "v"), (Spectrum.THERMAL, "t")):
            names = [
                f"{spectrum.value.title()}/{pid}/"
                f"{sex}_{side}_{letter}_{serial + index + 1:05d}_{pid}.bmp"
                for index in range(count)
            ]
            serial += count
            paths[spectrum.value][pid] = names
            images += [
                PlannedImage(
                    path=name,
                    pid=pid,
                    person=pid,
                    camera=_REGDB_CAMERA,
                    index=index,
                    spectrum=spectrum,
                    split="all",
                    manner="paired",
                )
                for index, name in enumerate(names)
            ]
    files = regdb_lists(paths, size.train, ids, recipe.seed)
    return Plan(ids=ids, images=tuple(images), files=files)


def _market_name(pid: int, camera: int, index: int, number: int, detection: int) -> str:
    label = "-1" if pid < 0 else f"{pid:04d}"
    frame = 26 + 25 * number
    return f"{label}_c{camera}s{1 + index % 6}_{frame:06d}_{detection:02d}.jpg"


def _market_images(
    folder: str, split: str, pid: int, camera: int, indices: range, *, by_hand: bool
) -> list[PlannedImage]:
    return [
        PlannedImage(
            path=f"{folder}/{_market_name(pid, camera, index, index, 0 if by_hand else 1)}",
            pid=pid,
            person=pid,
            camera=camera,
            index=index,
            spectrum=Spectrum.VISIBLE,
            split=split,
            manner="hand-drawn" if by_hand else "plain",
        )
        for index in indices
    ]


def _plan_market(recipe: Recipe) -> Plan:
    size = recipe.size
    rng = np.random.default_rng([recipe.seed, _PLAN_STREAM, 2])
    splits = _splits(rng, {"train": size.train, "test": size.test})
    images: list[PlannedImage] = []
    for split, people in splits.items():
        low, high = size.images[split][0]
        for pid in people:
            cameras = sorted(rng.permutation(6)[: rng.integers(3, 7)] + 1)
            for camera in (int(number) for number in cameras):
                count = int(rng.integers(low, high + 1))
                taken = (pid, camera)
                if split == "train":
                    images += _market_images(
                        "bounding_box_train", "train", *taken, range(count), by_hand=False
                    )
                    continue
                images += _market_images("query", "query", *taken, range(1), by_hand=True)
                rest = range(1, count + 1)
                images += _market_images(
                    "bounding_box_test", "gallery", *taken, rest, by_hand=False
                )
                images += _market_images(
                    "gt_bbox", "multi-query", *taken, range(count + 1), by_hand=True
                )
    if size.test:
        images += _market_strangers(rng, size, splits["test"], crowd=CROWD_SIZE * recipe.worlds)
    return Plan(ids=size.ids, images=tuple(images), files={}, folders=_MARKET_FOLDERS)


def _market_strangers(
    rng: np.random.Generator, size: Size, people: list[int], *, crowd: int
) -> list[PlannedImage]:
    """Distractors are people of the crowd; junk are bad boxes of test people."""
    images = []
    for number in range(size.distractors + size.junk):
        camera = int(rng.integers(1, 7))
        junk = number >= size.distractors
        pid = -1 if junk else 0
        person = people[rng.integers(len(people))] if junk else CROWD_START + number % crowd
        name = _market_name(pid, camera, number, number, 3 if junk else 2)
        images.append(
            PlannedImage(
                path=f"bounding_box_test/{name}",
                pid=pid,
                person=person,
                camera=camera,
                index=_JUNK_INDEX + number if junk else number,
                spectrum=Spectrum.VISIBLE,
                split="gallery",
                manner="junk" if junk else "plain",
            )
        )
    return images


_PLANNERS: dict[LayoutName, Callable[[Recipe], Plan]] = {
    "sysu-mm01": _plan_sysu,
    "regdb": _plan_regdb,
    "market1501": _plan_market,
    "table": _plan_table,
}


def plan_images(recipe: Recipe) -> Plan:
    """All images and files of a data set; a pure function of its recipe."""
    return _PLANNERS[recipe.layout](recipe)


def take_shot(world: World, image: PlannedImage) -> Shot:
    """The shot of a planned image; a pure function of the world and the plan."""
    key = (image.person, image.camera, image.index)
    if image.manner == "paired":  # one moment, seen by two cameras side by side
        shot = world.shot(*key, Spectrum.VISIBLE).seen_in(image.spectrum)
        yaw = _facing(world.seed, image.person) + 0.35 * float(np.sin(shot.view.yaw))
        return replace(shot, view=replace(shot.view, yaw=float(yaw)))
    shot = world.shot(*key, image.spectrum)
    if image.manner == "hand-drawn":
        return shot.well_cropped()
    if image.manner == "junk":
        rng = np.random.default_rng([world.seed, _JUNK_STREAM, *key])
        sides: Integers = 2 * rng.integers(2, size=2) - 1
        view = replace(
            shot.view,
            crop_x=float(sides[0] * rng.uniform(0.0, 0.3)),
            crop_y=float(sides[1] * rng.uniform(0.25, 0.6)),
            crop_scale=float(rng.uniform(0.4, 1.3)),
        )
        return replace(shot, view=view)
    return shot
