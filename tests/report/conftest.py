"""A made-up cross-modal test set, its scores, and the report inputs that follow from them."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from crosslight.data.table import SampleTable, build_table
from crosslight.evaluation.features import Features
from crosslight.evaluation.protocols import get_protocol
from crosslight.report.html import render_report
from crosslight.report.inputs import ReportInputs

CAMS = (1, 2, 3, 4, 5, 6)
INFRARED_CAMS = (3, 6)


def draw_people(
    root: Path, *, people: int, shots: int, cams: tuple[int, ...] = CAMS
) -> SampleTable:
    """Small pictures in the layout of SYSU-MM01, a shirt colour per person."""
    columns: dict[str, list[object]] = {"path": [], "pid": [], "cam": [], "modality": []}
    for cam in cams:
        for pid in range(1, people + 1):
            for shot in range(1, shots + 1):
                path = root / f"cam{cam}" / f"{pid:04d}" / f"{shot:04d}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                _person(pid, infrared=cam in INFRARED_CAMS).save(path)
                columns["path"].append(path.relative_to(root).as_posix())
                columns["pid"].append(pid)
                columns["cam"].append(cam)
                columns["modality"].append("infrared" if cam in INFRARED_CAMS else "visible")
    return build_table("sysu-mm01", root, {**columns, "split": ["test"] * len(columns["pid"])})


def made_up_features(table: SampleTable, *, noise: float, seed: int = 0) -> np.ndarray:
    """A direction per person, one per modality, and noise."""
    generator = np.random.default_rng(seed)
    directions = generator.normal(size=(int(table.pids.max()) + 1, 32))
    lights = generator.normal(size=(2, 32))
    feats = directions[table.pids] + lights[table.modality]
    return (feats + noise * generator.normal(size=feats.shape)).astype(np.float32)


def features_of(table: SampleTable, feats: np.ndarray) -> Features:
    return Features(
        feats=feats,
        pids=table.pids,
        cams=table.cams,
        modality=table.modality,
        split=table.splits,
        paths=np.array(table.relative_paths),
    )


def write_log(path: Path) -> Path:
    lines = []
    for iteration in range(10, 510, 10):
        fade = np.exp(-iteration / 200)
        lines.append(
            f'{{"iteration": {iteration}, "epoch": {iteration / 50}, "stage": "main", '
            f'"losses": {{"id": {0.2 + 5 * fade:.4f}, "triplet": {0.1 + fade:.4f}}}, '
            f'"weights": {{"id": 1.0, "triplet": {iteration / 500}}}, '
            f'"weighted": {{"id": {0.2 + 5 * fade:.4f}, '
            f'"triplet": {iteration / 500 * (0.1 + fade):.4f}}}, '
            f'"lr": {{"main": {3e-4 * fade:.6f}}}}}'
        )
        if iteration % 100 == 0:
            lines.append(
                f'{{"iteration": {iteration}, "stage": "main", '
                f'"validation": {{"mAP": {0.6 * (1 - fade):.4f}, "rank1": {1 - fade:.4f}}}}}'
            )
    path.write_text("\n".join(lines) + '\n{"iteration": 5', encoding="utf-8")
    return path


def made_up_inputs(
    root: Path,
    *,
    people: int = 6,
    noise: float = 1.0,
    protocols: tuple[str, ...] = ("sysu-mm01/all/1", "sysu-mm01/indoor/1"),
    **changes: object,
) -> ReportInputs:
    """Inputs of a report; further keyword arguments replace fields."""
    table = draw_people(root / "data", people=people, shots=2)
    feats = made_up_features(table, noise=noise)
    features = features_of(table, feats)
    inputs = ReportInputs(
        title="A small agw on made-up people",
        data_name="Made-up people",
        table=table,
        features=feats,
        results={name: get_protocol(name).evaluate(features, trials=3) for name in protocols},
        chance={name: get_protocol(name).chance(features, trials=3) for name in protocols},
        config={"method": "agw", "data": {"height": 128, "splits": ("train", "val")}},
        log=write_log(root / "log.jsonl"),
        contact_sheet=Image.new("RGB", (400, 300), "#336699"),
        search_sheet=Image.new("RGB", (900, 300), "#993366"),
        seconds={"make people": 61.25, "train": 300.5},
        notes=("The people are drawn, not filmed.",),
        created=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        versions={"crosslight": "0.1.0", "python": "3.11"},
    )
    return replace(inputs, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReportInputs, str]:
    """One report, drawn once for all tests that only read it."""
    inputs = made_up_inputs(tmp_path_factory.mktemp("rendered"))
    return inputs, render_report(inputs)


def _person(pid: int, *, infrared: bool) -> Image.Image:
    image = Image.new("RGB", (32, 64), "#8a8f94")
    draw = ImageDraw.Draw(image)
    shirt = "#b0b0b0" if infrared else f"hsl({47 * pid % 360}, 70%, 45%)"
    draw.ellipse((11, 4, 20, 15), fill="#d8b08c" if not infrared else "#dddddd")
    draw.rectangle((8, 16, 23, 38), fill=shirt)
    draw.rectangle((10, 39, 21, 60), fill="#222222" if pid % 2 else "#555577")
    return image
