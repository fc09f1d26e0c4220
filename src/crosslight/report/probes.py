"""Probes of several runs beside each other, from their `probe.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crosslight.report.tables import spread, table

Content = Mapping[str, Any]

MOVED_BY = (
    *("clothes colour", "garment cut", "body shape", "pose", "view"),
    *("surroundings", "camera", "light"),
)
READ = (
    *("upper colour", "lower colour", "upper garment", "lower garment", "body shape", "pose"),
    *("view", "camera", "light"),
)


def probes_markdown(probes: Mapping[str, Content]) -> str:
    """What moves each code, what it knows, whom it finds, and how true the pictures are.

    Args:
        probes: Name of the run → `Probed.to_json`.
    """
    lines = ["# What the codes know", ""]
    for light in ("visible", "infrared"):
        lines += _movements(probes, light)
    lines += _leakage(probes)
    lines += _pictures(probes)
    return "\n".join(lines)


def _movements(probes: Mapping[str, Content], light: str) -> list[str]:
    rows = [
        [f"{run}: {code}", *(spread(factors.get(factor), digits=2) for factor in MOVED_BY)]
        for run, content in probes.items()
        for code, factors in content["parts"].get("movements", {}).get(light, {}).items()
    ]
    if not rows:
        return []
    return [
        f"## What moves a code, {light} images",
        "",
        "0: not at all; 1: as far as the image of somebody else in the same light.",
        "",
        *table(["code", *MOVED_BY], rows),
        "",
    ]


def _leakage(probes: Mapping[str, Content]) -> list[str]:
    rows: list[list[str]] = []
    pixels: list[str] = []
    protocols: set[str] = set()
    for run, content in probes.items():
        leakage, use = content["parts"].get("leakage"), content["parts"].get("use")
        if not leakage:
            continue
        known = leakage["known"]["linear"]
        pixels = pixels or ["raw pixels", "", *_known(known["raw pixels"]), "", ""]
        for code, size in leakage["sizes"].items():
            found = use["scores"][code] if use else {}
            protocols.add(use["protocol"] if use else "")
            # Who is found by a code alone does not depend on the draw.
            asked = [spread(found[key][:1]) if found else "–" for key in ("rank1", "mAP")]
            rows.append([f"{run}: {code}", f"{size:,}", *_known(known[code]), *asked])
    if not rows:
        return []
    told = ", ".join(sorted(protocols - {""}))
    return [
        "## What linear probes read out of a code, and whom it finds",
        "",
        "0: what chance would get; 1: everything; of people that the probe has not learnt from. "
        f"Rank-1 and mAP of the code alone ({told}), percent.",
        "",
        *table(["code", "numbers", *READ, "rank-1", "mAP"], [*rows, pixels]),
        "",
    ]


def _pictures(probes: Mapping[str, Content]) -> list[str]:
    rows = [[run, *row] for run, content in probes.items() for row in _drawn(content["parts"])]
    if not rows:
        return []
    columns = ("PSNR", "SSIM", "L1", "the look's person", "the body's person", "truth: the look's")
    return [
        "## How true the pictures are",
        "",
        "On the person; 0: the best floor (a copy of the input, its gray copy, another person); 1: "
        "the true picture taken again. Whom the network that ships takes them for, percent; of "
        "translations, the share that find their person.",
        "",
        *table(["run", "pictures", *columns], rows, words=2),
        "",
    ]


def _drawn(parts: Content) -> Iterator[list[str]]:
    keys = ("psnr person", "ssim person", "l1 person")
    for lights, place in parts.get("swaps", {}).items():
        judged = (place["judged"][who] for who in ("appearance", "structure", "true appearance"))
        scaled = (spread(place["scaled"][key], digits=2) for key in keys)
        yield [f"{lights}, swapped", *scaled, *(spread(share) for share in judged)]
    for light, place in parts.get("translations", {}).items():
        scaled = (spread(place["scaled"][key], digits=2) for key in keys)
        yield [f"translated to {light}", *scaled, "", spread(place["rank1"]["drawn"]), ""]


def _known(row: Mapping[str, float]) -> list[str]:
    return [f"{row[factor]:.2f}" if factor in row else "–" for factor in READ]
