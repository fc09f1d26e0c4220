"""Makes a model that needs no torch of a run, and keeps it only if it is as good."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslight.config import Recipe
from crosslight.data.images import read_image
from crosslight.data.layouts import parse_data_argument, read_layout
from crosslight.data.naming import name_of_data
from crosslight.data.resizing import resized
from crosslight.data.table import SampleTable
from crosslight.errors import CheckpointError, ConfigError, DataError
from crosslight.evaluation.protocols import get_protocol
from crosslight.experiments.evaluation import features_of, tested
from crosslight.experiments.options import Exporting, refuse_unit_views_alone
from crosslight.exporting.card import GRAPHS, ExportCard, Precision
from crosslight.exporting.exported import Exported
from crosslight.exporting.graphs import Views, write_graphs
from crosslight.exporting.parity import Parity, compare
from crosslight.exporting.quantising import write_int8, write_openvino
from crosslight.files import EXPORT_CARD, folder_made_whole, require_place, sha256_of, write_text
from crosslight.methods.contract import Method
from crosslight.training.embedding import embed_table
from crosslight.training.run import RunFolder
from crosslight.types import LIGHTS, Modality

MOST_DIFFERENT = 1e-4
"""What a value in float32 may differ by, where embeddings have length 1."""
MOST_LOST = 0.005
"""What mAP may fall by, half a point, in any protocol."""

_WRITTEN = (*GRAPHS.values(), ".bin")


@dataclass(frozen=True, kw_only=True)
class Export:
    """What an export came to.

    Attributes:
        model: The exported model, opened.
        data: How the data set that it was compared on is called.
        parity: How near its embeddings are to the run's.
        scores: Protocol → mAP of the run and of the model; empty without a data set to score.
    """

    model: Exported
    data: str
    parity: Parity
    scores: Mapping[str, tuple[float, float]]

    def __str__(self) -> str:
        card = self.model.card
        files = ", ".join(dict.fromkeys(card.graphs.values()))
        lines = [
            f"{self.model.path}: {card.method} as {card.format} in {card.precision} ({files}), "
            f"images of {card.height} x {card.width} pixels, {card.dim} numbers.",
            f"{self.data}, {self.parity}.",
        ]
        lines += [
            f"  {name}: mAP {100 * after:.2f}, of the run {100 * before:.2f}"
            for name, (before, after) in self.scores.items()
        ]
        return "\n".join(lines)


def export(run: Path | str, out: Path | str, **options: Any) -> Export:
    """Exports a run as ONNX or OpenVINO; what `crosslight export` does.

    Args:
        run: Run folder, or the name of weights that ship.
        out: Folder to make.
        options: Those of `Exporting`, such as `format="openvino"` and `data="sysu-mm01:people"`.

    Raises:
        ConfigError: Options that contradict each other, a folder that is there already, or a
            method that no graph can hold.
        CheckpointError: No weights, damaged ones, or an export that is not as good as the run.
        MissingPartError: The tools of that format are not installed.
        DataError: There are no images to compare with.
    """
    return export_run(Path(run), Path(out), Exporting(**options))


def export_run(run: Path, out: Path, how: Exporting) -> Export:
    """Exports a run; see `export`."""
    _refuse_contradictions(how)
    if out.exists():
        raise ConfigError(f"{out} is there already; give another --out, a new folder.")
    folder = RunFolder.open(run)
    folder.refuse_untrained("embedding")
    config, method = folder.load_config(), folder.load_method()
    subject = _Subject(folder=folder, config=config, method=method, how=how)
    table, title = subject.images(), subject.title()
    require_place(out)
    with folder_made_whole(out) as made:
        subject.write(made)
        found = _compared(subject, Exported(made), table, title)
        _refuse_worse(found, how)
        _rewrite_card(made, found)
    return replace(found, model=Exported(out))


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """A run and how it is exported."""

    folder: RunFolder
    config: Recipe
    method: Method
    how: Exporting

    @property
    def precision(self) -> Precision:
        return "int8" if self.how.int8 else "fp16" if self.how.fp16 else "fp32"

    @property
    def views(self) -> Views:
        # Other distances need the lengths.
        unit = self.method.distance == "cosine"
        return Views(flip=self.how.flip, unit_views=self.how.unit_views, unit=unit)

    @property
    def asked(self) -> str | None:
        """The data set that is scored."""
        return self.how.data or self.how.calibrate

    def source(self) -> tuple[str, Path, int]:
        """Layout, root and trial of the images that are compared."""
        if self.asked is not None:
            layout, root = parse_data_argument(self.asked)
            return layout.name, root, self.how.trial
        trained = self.folder.load_data()
        root = Path(str(trained.get("root", "")))
        if not trained.get("layout") or not trained.get("root") or not root.is_dir():
            raise DataError(
                f"There are no images to compare the export of {self.folder.known_as} with: those "
                f"that it was trained on are not at hand; say --data LAYOUT:ROOT, such as "
                "sysu-mm01:people of crosslight data make promenade people."
            )
        return str(trained["layout"]), root, int(trained.get("trial", 1))

    def title(self) -> str:
        name, root, _ = self.source()
        return name_of_data(parse_data_argument(f"{name}:{root}")[0], root)

    def images(self) -> SampleTable:
        """The test images that are compared: all that are scored, else a few of each light."""
        name, root, trial = self.source()
        table = tested(read_layout(name, root, trial=trial))
        table = table.with_range(self.config.data.deep_range)
        return (
            table
            if self.asked is not None
            else table.take(_spread(table, -(-self.how.images // 2)))
        )

    def crops(self) -> SampleTable:
        """The images that int8 is fitted to: of training people, where there are any."""
        assert self.how.calibrate is not None
        layout, root = parse_data_argument(self.how.calibrate)
        table = read_layout(layout.name, root, trial=self.how.trial)
        if "train" in set(table.splits):
            table = table.split("train")
        table = table.with_range(self.config.data.deep_range)
        lights = set(map(int, table.modality))
        lacking = [name for name, light in LIGHTS.items() if light not in lights]
        if lacking:
            raise DataError(
                f"--calibrate {self.how.calibrate} has no {lacking[0]} image, but int8 is fitted "
                "to images of both lights; give a data set that has them."
            )
        return table.take(_spread(table, self.how.crops))

    def write(self, made: Path) -> None:
        """Writes graphs and card."""
        data, how = self.config.data, self.how
        crops = self.crops() if how.int8 else None
        with tempfile.TemporaryDirectory(dir=made) as place:
            plain = write_graphs(
                self.method, Path(place), self.views, height=data.height, width=data.width
            )
            graphs = {light: path.stem + GRAPHS[how.format] for light, path in plain.items()}
            for path in dict.fromkeys(plain.values()):
                lights = [light for light, own in plain.items() if own == path]
                goal = made / (path.stem + GRAPHS[how.format])
                if crops is not None:
                    mine = crops.take(np.flatnonzero(np.isin(crops.modality, lights)))
                    write_int8(path, goal, how.format, list(self._pixels(mine)), count=len(mine))
                elif how.format == "openvino":
                    write_openvino(path, goal, half=how.fp16)
                else:
                    shutil.copyfile(path, goal)
        written = [path for path in sorted(made.iterdir()) if path.suffix in _WRITTEN]
        files = {path.name: sha256_of(path) for path in written}
        card = ExportCard(
            format=how.format,
            precision=self.precision,
            method=self.config.method,
            run=str(self.folder.known_as),
            run_sha256=sha256_of(self.folder.model_path),
            height=data.height,
            width=data.width,
            interpolation=data.interpolation,
            deep_range=data.deep_range,
            dim=self._dim(),
            distance=self.method.distance,
            unit=self.views.unit,
            flip=how.flip,
            unit_views=how.unit_views,
            graphs={light.name.lower(): name for light, name in graphs.items()},
            files=files,
            data={k: v for k, v in self.folder.load_data().items() if k in ("layout", "trial")},
            calibrated=None if crops is None else {"data": how.calibrate, "images": len(crops)},
        )
        write_text(made / EXPORT_CARD, card.to_json())

    def embed(self, table: SampleTable) -> NDArray[np.float32]:
        """By the run, in float32."""
        data, views = self.config.data, self.views
        found = embed_table(
            self.method,
            table,
            height=data.height,
            width=data.width,
            interpolation=data.interpolation,
            workers=self.how.workers,
            flip=views.flip,
            unit_views=views.unit_views,
        )
        if not views.unit:
            return found
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        unit: NDArray[np.float32] = found / lengths.clip(min=np.finfo(np.float32).tiny)
        return unit

    def _pixels(self, table: SampleTable) -> Iterator[NDArray[np.uint8]]:
        data = self.config.data
        for path in table.paths:
            image = read_image(path, deep_range=table.deep_range)
            yield resized(image, data.height, data.width, data.interpolation)

    def _dim(self) -> int:
        import torch

        data = self.config.data
        images = torch.zeros((2, 3, data.height, data.width))
        with torch.inference_mode():
            return int(self.method.embed(images, torch.tensor(list(Modality))).shape[1])


def _refuse_contradictions(how: Exporting) -> None:
    if how.format not in GRAPHS:
        raise ConfigError(f"There is no format {how.format!r}; take {' or '.join(GRAPHS)}.")
    refuse_unit_views_alone(how)
    if how.int8 and how.calibrate is None:
        raise ConfigError(
            "--int8 is fitted to images and refused where mAP falls; say --calibrate LAYOUT:ROOT."
        )
    if how.calibrate is not None and not how.int8:
        raise ConfigError("--calibrate is what --int8 is fitted to; add --int8, or say --data.")
    if how.fp16 and (how.int8 or how.format != "openvino"):
        raise ConfigError(
            "--fp16 stores OpenVINO's weights in 16 bits; say --format openvino, without --int8."
        )
    if how.fp16 and how.data is None:
        raise ConfigError("--fp16 is refused where mAP falls; say --data LAYOUT:ROOT.")


def _spread(table: SampleTable, count: int) -> NDArray[np.int64]:
    """Rows of each light, at most so many, evenly over the table."""
    chosen = []
    for light in Modality:
        rows = np.flatnonzero(table.modality == light)
        kept = min(count, len(rows))
        chosen.append(rows[np.arange(kept) * len(rows) // max(kept, 1)])
    return np.sort(np.concatenate(chosen))


def _compared(subject: _Subject, model: Exported, table: SampleTable, title: str) -> Export:
    before = subject.embed(table)
    after = model.embed(table.paths, modality=table.modality)
    scores: dict[str, tuple[float, float]] = {}
    if subject.asked is not None:
        layout, _ = parse_data_argument(subject.asked)
        for name in layout.protocols:
            ran, made = (_score(name, table, x, model.card) for x in (before, after))
            scores[name] = ran, made
    rows = _spread(table, -(-subject.how.images // 2))
    parity = compare(before[rows], after[rows], model.card.distance)
    return Export(model=model, data=title, parity=parity, scores=scores)


def _score(
    protocol: str, table: SampleTable, feats: NDArray[np.float32], card: ExportCard
) -> float:
    scored = get_protocol(protocol).evaluate(features_of(table, feats), distance=card.distance)
    return scored.mAP


def _refuse_worse(found: Export, how: Exporting) -> None:
    """Checks that the model is as good as the run.

    Raises:
        CheckpointError: It is not.
    """
    fallen = {n: pair for n, pair in found.scores.items() if not pair[1] >= pair[0] - MOST_LOST}
    if fallen:
        name, (before, after) = max(fallen.items(), key=lambda one: one[1][0] - one[1][1])
        remedy = "export without --int8" if how.int8 else "use the run itself"
        raise CheckpointError(
            f"The export is not as good as the run: mAP falls from {100 * before:.2f} to "
            f"{100 * after:.2f} in {name}, and half a point is allowed, so nothing was kept; "
            f"{remedy}."
        )
    exact = not (how.int8 or how.fp16)
    if exact and not found.parity.largest <= MOST_DIFFERENT:
        raise CheckpointError(
            f"The export does not compute what the run does ({found.parity}; {MOST_DIFFERENT:.0e} "
            "is allowed), so nothing was kept; use another --format, or the run itself."
        )


def _rewrite_card(made: Path, found: Export) -> None:
    scores = {name: {"run": ran, "model": own} for name, (ran, own) in found.scores.items()}
    compared = {"data": found.data, **found.parity.to_plain(), "mAP": scores}
    write_text(made / EXPORT_CARD, replace(found.model.card, compared=compared).to_json())
