"""Says whether two images show the same person."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from crosslight.commands.gallery.filter import light_named
from crosslight.config import require_range
from crosslight.data.depth import DepthTally
from crosslight.data.images import read_with_depth
from crosslight.experiments.embedder import embedder_for
from crosslight.files import printable, sha256_of
from crosslight.gallery.audit import COMMAND, audit_of, this_user
from crosslight.gallery.legibility import fault_of
from crosslight.gallery.options import Comparing
from crosslight.gallery.same import Comparison, compared
from crosslight.gallery.stores.opening import open_store
from crosslight.types import DeepRange, Modality

ANSWERS = {
    "same": "The same person, it seems",
    "different": "Different people, it seems",
    "open": "These images do not tell whether it is the same person",
    "unknown": "Whether it is the same person is unknown",
}


def same(
    store: str,
    images: tuple[Path, Path],
    comparing: Comparing,
    *,
    model: Path | None,
    as_json: bool,
    deep_range: DeepRange | None,
    audit: Path | None = None,
) -> Comparison:
    """Prints the answer for two images."""
    require_range(deep_range, "--deep-range")
    log = audit_of(audit)
    depths = DepthTally()
    with open_store(store) as opened:
        info = opened.info
        pictures = []
        for image in images:
            picture, depth = read_with_depth(image, deep_range=deep_range or info.deep_range)
            depths.add(depth)
            pictures.append(picture)
        found = compared(
            info,
            embedder_for(info, model),
            (pictures[0], pictures[1]),
            modalities=(
                light_named(comparing.first_modality),
                light_named(comparing.second_modality),
            ),
            prior=comparing.prior,
        )
    if log is not None:
        what = {"store": printable(store), "sha256": [sha256_of(image) for image in images]}
        log.write("compare", who=this_user(), origin=COMMAND, what=what, rows=None)
    lights = [Modality(light).name.lower() for light in found.modalities]
    faults = [
        f"{printable(image)} {fault}"
        for image, picture in zip(images, pictures, strict=True)
        if (fault := fault_of(picture))
    ]
    if as_json:
        warning = " ".join(f"{fault}." for fault in faults) or None
        named = {
            "images": [printable(image) for image in images],
            "modalities": lights,
            "warning": warning,
        }
        print(json.dumps({**asdict(found), **named}))
        return found
    if depths.narrow:
        print(f"Warning: {depths.told()} {depths.remedy('Ask again with --deep-range {0} {1}.')}")
    for fault in faults:
        print(f"Warning: {fault}; the answer means nothing.")
    print(f"{images[0]} ({lights[0]}) and {images[1]} ({lights[1]}): distance {found.distance:.3f}")
    print(said_of(found, store))
    return found


def said_of(found: Comparison, store: str) -> str:
    """The answer in words, with its uncertainty."""
    answer = ANSWERS[found.answer]
    if found.probability is None or found.ratio is None:
        return (
            f"{answer}: nothing was learnt about pairs of these lights; say: crosslight gallery "
            f"calibrate {store} --data LAYOUT:ROOT"
        )
    if found.interval is None or found.ratio_interval is None:
        return (
            f"{answer}; {found.probability:.1%} by a calibration without intervals; say: "
            f"crosslight gallery calibrate {store} --data LAYOUT:ROOT"
        )
    low, high = found.interval
    least, most = found.ratio_interval
    return (
        f"{answer}: {found.probability:.1%} (95 %: {low:.1%} to {high:.1%}), if it was "
        f"{found.prior:.3g} before (--prior). Images of one person are this far apart "
        f"{found.ratio:.3g} times as often as others ({least:.2g} to {most:.2g})."
    )
