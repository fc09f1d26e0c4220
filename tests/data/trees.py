"""Miniature data sets in the true layouts, and damaged images."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def jpeg(seed: int = 0, height: int = 8, width: int = 4) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A valid PNG header of any size, with next to no pixels behind it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def plant(root: Path, files: dict[str, str | bytes | None], order_seed: int = 0) -> Path:
    """Writes files (None: a small JPEG) in an order drawn from the seed, with system litter."""
    names = list(files)
    random.Random(order_seed).shuffle(names)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = jpeg() if files[name] is None else files[name]
        if isinstance(content, str):
            path.write_text(content)
        else:
            path.write_bytes(content)
    for folder in sorted({(root / name).parent for name in names}):
        for litter in ("Thumbs.db", ".DS_Store", "._0001_c1s1_000001_00.jpg"):
            (folder / litter).write_bytes(b"litter")
    return root


def market1501(*, multi_query: bool = True) -> dict[str, str | bytes | None]:
    names = [
        *(
            f"bounding_box_train/{pid:04d}_c{cam}s1_000{cam}51_01.jpg"
            for pid in (2, 7, 10)
            for cam in (1, 6)
        ),
        "query/0001_c1s1_001051_00.jpg",
        "query/0003_c3s2_000051_00.jpg",
        "bounding_box_test/-1_c1s1_000401_03.jpg",
        "bounding_box_test/0000_c4s1_000151_01.jpg",
        "bounding_box_test/0001_c1s1_001076_01.jpg",
        "bounding_box_test/0001_c2s1_001126_01.jpg",
        "bounding_box_test/0003_c5s2_000076_01.jpg",
    ]
    if multi_query:
        names += ["gt_bbox/0001_c1s1_001051_00.jpg", "gt_bbox/0001_c1s1_001076_00.jpg"]
    return dict.fromkeys(names)


def dukemtmc() -> dict[str, str | bytes | None]:
    names = [
        "bounding_box_train/0001_c2_f0046182.jpg",
        "bounding_box_train/0001_c8_f0046302.jpg",
        "query/0005_c2_f0046985.jpg",
        "bounding_box_test/0005_c5_f0051341.jpg",
        "bounding_box_test/7133_c8_f0120103.jpg",
    ]
    return dict.fromkeys(names)


MSMT17_LINES = {
    "train": [
        "0001/0001_000_15_0113noon_1081_0.jpg 1",
        "0000/0000_000_01_0303morning_0015_0.jpg 0",
    ],
    "val": ["0000/0000_001_14_0303morning_0045_1.jpg 0"],
    "query": ["0000/0000_000_01_0303noon_0123_0.jpg 0"],
    "gallery": ["0000/0000_001_11_0303noon_0456_0.jpg 0", "0001/0001_000_02_0303noon_0789_0.jpg 1"],
}


def msmt17(version: int = 1) -> dict[str, str | bytes | None]:
    train, test = ("train", "test") if version == 1 else ("mask_train_v2", "mask_test_v2")
    folders = {"train": train, "val": train, "query": test, "gallery": test}
    files: dict[str, str | bytes | None] = {}
    for split, lines in MSMT17_LINES.items():
        files[f"list_{split}.txt"] = "\n".join(lines) + "\n"
        files |= {f"{folders[split]}/{line.split()[0]}": None for line in lines}
    return files


def sysu_mm01(
    train: Iterable[int] = (4, 12, 7),
    val: Iterable[int] = (20,),
    test: Iterable[int] = (6, 10),
    images: int = 2,
) -> dict[str, str | bytes | None]:
    """Everybody in all six cameras; person 500 is of no split; ids unsorted and not padded."""
    files: dict[str, str | bytes | None] = {
        f"exp/{split}_id.txt": ",".join(map(str, ids)) + "\n"
        for split, ids in (("train", train), ("val", val), ("test", test))
    }
    for pid in (*train, *val, *test, 500):
        for cam in range(1, 7):
            for index in range(1, images + 1):
                files[f"cam{cam}/{pid:04d}/{index:04d}.jpg"] = None
    return files


def regdb(trials: int = 2) -> dict[str, str | bytes | None]:
    """People 3, 1, 285, 40; odd trials train on the first two."""
    people = (3, 1, 285, 40)
    names = {
        (folder, pid): [f"{folder}/{pid}/male_{mark}_0552{i}_{pid}.bmp" for i in range(2)]
        for folder, mark in (("Visible", "v"), ("Thermal", "t"))
        for pid in people
    }
    files: dict[str, str | bytes | None] = {name: None for part in names.values() for name in part}
    for trial in range(1, trials + 1):
        halves = {"train": people[:2], "test": people[2:]}
        if trial % 2 == 0:
            halves = {"train": people[2:], "test": people[:2]}
        for split, half in halves.items():
            for folder in ("Visible", "Thermal"):
                lines = [
                    f"{name} {label}"
                    for label, pid in enumerate(half)
                    for name in names[folder, pid]
                ]
                files[f"idx/{split}_{folder.lower()}_{trial}.txt"] = "\n".join(lines) + "\n"
    return files


def llcm() -> dict[str, str | bytes | None]:
    files: dict[str, str | bytes | None] = {"idx/test_id.txt": "9,2\n"}
    for light in ("vis", "nir"):
        lines = []
        for label, pid in enumerate((5, 1)):
            for cam in (1, 4):
                name = f"{light}/{pid:04d}/{pid:04d}_c{cam:02d}_s185535_f7010_{light}.jpg"
                files[name] = None
                lines.append(f"{name} {label}")
        files[f"idx/train_{light}.txt"] = "\n".join(lines)
        for pid in (2, 9, 11):
            for cam in (1, 4):
                name = f"test_{light}/cam{cam}/{pid:04d}/{pid:04d}_c{cam:02d}_s1_f1_{light}.jpg"
                files[name] = None
    return files


TREES = {
    "market1501": market1501,
    "dukemtmc": dukemtmc,
    "msmt17": msmt17,
    "sysu-mm01": sysu_mm01,
    "regdb": regdb,
    "llcm": llcm,
    "table": lambda: {
        "table.csv": "path,pid,cam\na/1.jpg,1,1\na/2.jpg,1,2\nb/1.jpg,2,1\nb/2.jpg,2,2\n",
        "a/1.jpg": None,
        "a/2.jpg": None,
        "b/1.jpg": None,
        "b/2.jpg": None,
    },
}
