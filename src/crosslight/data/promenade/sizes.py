"""How many people and images a data set has: published sizes by name, and the user's own."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from crosslight.errors import ConfigError

LayoutName: TypeAlias = Literal["sysu-mm01", "regdb", "market1501", "table"]
PresetName: TypeAlias = Literal["tiny", "mini", "small", "full"]

LAYOUTS: tuple[LayoutName, ...] = ("sysu-mm01", "regdb", "market1501", "table")
PRESETS: tuple[PresetName, ...] = ("tiny", "mini", "small", "full")
_MOST_PEOPLE: dict[LayoutName, int] = {
    "sysu-mm01": 9999,
    "regdb": 99_999,
    "market1501": 9999,
    "table": 99_999,
}
_MOST_IMAGES = 255
"""Images of one person by one camera; the permutations of SYSU-MM01 count them in one byte."""

Range: TypeAlias = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Size:
    """People per split; the range of images per person and (visible, infrared) camera.

    `distractors` and `junk` are images of nobody known, in the gallery of Market-1501.
    """

    train: int
    val: int = 0
    test: int
    train_images: tuple[Range, Range]
    val_images: tuple[Range, Range] = ((0, 0), (0, 0))
    test_images: tuple[Range, Range]
    distractors: int = 0
    junk: int = 0

    @property
    def people(self) -> dict[str, int]:
        """People per split."""
        return {"train": self.train, "val": self.val, "test": self.test}

    @property
    def images(self) -> dict[str, tuple[Range, Range]]:
        """Per split, the range of images per person and (visible, infrared) camera."""
        return {"train": self.train_images, "val": self.val_images, "test": self.test_images}

    @property
    def ids(self) -> int:
        """All people."""
        return self.train + self.val + self.test


_SYSU: dict[PresetName, Size] = {
    "tiny": Size(
        train=6,
        val=2,
        test=6,
        train_images=((2, 2), (2, 3)),
        val_images=((2, 2), (2, 2)),
        test_images=((2, 2), (2, 2)),
    ),
    "mini": Size(
        train=120,
        val=24,
        test=40,
        train_images=((3, 4), (5, 6)),
        val_images=((3, 3), (4, 4)),
        test_images=((4, 4), (6, 6)),
    ),
    "small": Size(
        train=200,
        val=50,
        test=96,
        train_images=((4, 6), (6, 8)),
        val_images=((3, 4), (4, 5)),
        test_images=((13, 15), (13, 15)),
    ),
    "full": Size(
        train=296,
        val=99,
        test=96,
        train_images=((15, 28), (14, 20)),
        val_images=((5, 7), (9, 11)),
        test_images=((16, 28), (18, 22)),
    ),
}


def _regdb(half: int) -> Size:
    images = ((10, 10), (10, 10))
    return Size(train=half, test=half, train_images=images, test_images=images)


def _market(train: int, test: int, images: Range, distractors: int, junk: int) -> Size:
    return Size(
        train=train,
        test=test,
        train_images=(images, images),
        test_images=(images, images),
        distractors=distractors,
        junk=junk,
    )


_SIZES: dict[LayoutName, dict[PresetName, Size]] = {
    "sysu-mm01": _SYSU,
    "regdb": {"tiny": _regdb(3), "mini": _regdb(30), "small": _regdb(60), "full": _regdb(206)},
    "market1501": {
        "tiny": _market(5, 4, (1, 2), 4, 3),
        "mini": _market(100, 40, (2, 4), 60, 40),
        "small": _market(300, 150, (3, 5), 500, 300),
        "full": _market(751, 750, (2, 6), 2798, 3819),
    },
    "table": _SYSU,
}


def size_of(
    layout: LayoutName,
    preset: PresetName,
    *,
    people: int | None = None,
    val_people: int | None = None,
    test_people: int | None = None,
    images_per_camera: int | None = None,
) -> Size:
    """The size of a preset, with the numbers that are given in place of its own.

    Args:
        layout: Whose size.
        preset: Its name.
        people: People for training.
        val_people: People for validation.
        test_people: People for testing.
        images_per_camera: Images of every person by every camera that sees them.

    Raises:
        ConfigError: A number that is none, or that the layout cannot hold.
    """
    size = _SIZES[layout][preset]
    wished = {"train": people, "val": val_people, "test": test_people}
    flags = {"train": "--people", "val": "--val-people", "test": "--test-people"}
    if val_people and not size.val:
        raise ConfigError(
            f"the layout {layout} has no people for validation, and {val_people} are asked for: "
            "leave --val-people out."
        )
    for split, count in wished.items():
        lowest = 1 if layout == "regdb" and split != "val" else 0
        if count is not None and count < lowest:
            raise ConfigError(
                f"{flags[split]} is {count}: give {lowest} or more"
                + (", as both halves of regdb need people." if lowest else ".")
            )
    size = replace(
        size,
        train=size.train if people is None else people,
        val=size.val if val_people is None else val_people,
        test=size.test if test_people is None else test_people,
    )
    if not 0 < size.ids <= _MOST_PEOPLE[layout]:
        raise ConfigError(_of_no_such_size(layout, size))
    if images_per_camera is None:
        return size
    if not 1 <= images_per_camera <= _MOST_IMAGES:
        raise ConfigError(f"--images-per-camera is {images_per_camera}: give 1 to {_MOST_IMAGES}.")
    images = ((images_per_camera, images_per_camera),) * 2
    return replace(size, train_images=images, val_images=images, test_images=images)


def _of_no_such_size(layout: LayoutName, size: Size) -> str:
    if not size.ids:
        return "a data set without people cannot be made: give --people or --test-people."
    most = _MOST_PEOPLE[layout]
    parts = " + ".join(str(count) for count in size.people.values() if count)
    larger = "; --layout table holds 99999" if most < _MOST_PEOPLE["table"] else ""
    return (
        f"the layout {layout} numbers at most {most} people, and {parts} are asked for: give "
        f"fewer --people{larger}."
    )
