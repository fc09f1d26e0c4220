"""Chooses people and images for a contact sheet: a row per person, a column per camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from crosslight.data.sheet import contact_sheet
from crosslight.data.table import SampleTable
from crosslight.types import UNKNOWN_CAM, Modality


def draw_contact_sheet(
    table: SampleTable, *, people: int = 8, seed: int = 0, height: int = 256, width: int = 128
) -> Image.Image:
    """Draws the people seen by most cameras, one random image per camera and light.

    They are people whom the same cameras saw, as far as there are: people of several sites would
    leave most of the sheet empty. Rows of nobody known (junk, distractors) are left out where
    others exist.
    """
    rng = np.random.default_rng(seed)
    cells: dict[int, dict[tuple[int, int], list[Path]]] = {}
    for path, pid, cam, modality in zip(
        table.paths, table.pids, table.cams, table.modality, strict=True
    ):
        cells.setdefault(int(pid), {}).setdefault((int(modality), int(cam)), []).append(path)
    people_known = set(table.pids[table.known].tolist())
    proper = [pid for pid in cells if pid in people_known] or list(cells)
    shuffled = [proper[i] for i in rng.permutation(len(proper))]
    widest = cells[max(shuffled, key=lambda pid: len(cells[pid]))].keys()
    shuffled.sort(key=lambda pid: (-len(cells[pid].keys() & widest), -len(cells[pid])))
    chosen = sorted(shuffled[:people])
    columns = sorted({column for pid in chosen for column in cells[pid]})
    rows = [[_one(cells[pid].get(column, []), rng) for column in columns] for pid in chosen]
    return contact_sheet(
        rows,
        [f"person {pid}" for pid in chosen],
        [_title(modality, cam) for modality, cam in columns],
        cell=(height, width),
        deep_range=table.deep_range,
    )


def _one(paths: list[Path], rng: np.random.Generator) -> Path | None:
    return paths[int(rng.integers(len(paths)))] if paths else None


def _title(modality: int, cam: int) -> str:
    light = Modality(modality).name.lower()
    return light if cam == UNKNOWN_CAM else f"cam {cam} {light}"
