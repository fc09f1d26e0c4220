"""Images per CPU-second of the runtimes that embed, as ratios to eager torch in the same run.

Run `python -m benchmarks.embedding [--networks resnet50,promenade] [--variants ...] [--seconds 4]`.
Each row is a process of its own, on one thread, with batches of uint8 pixels; normalisation and
unit length are part of it, decoding and resizing are not. ResNet-50 is the baseline's, its
weights random, at 256 x 128; promenade is the network that ships, at 128 x 64. The first batches,
which compile and allocate, are not timed, and the fastest of the others counts. int8 is fitted to
noise, which makes it no slower or faster. What the processor cannot do, bfloat16 for one, is left
out and said.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VARIANTS = {
    "eager": "torch, eager, fp32",
    "channels-last": "torch, channels last, fp32",
    "compiled": "torch, channels last, compiled, fp32",
    "bf16": "torch, channels last, compiled, bf16",
    "onnx": "ONNX Runtime, fp32",
    "onnx-int8": "ONNX Runtime, int8",
    "openvino": "OpenVINO, fp32",
    "openvino-bf16": "OpenVINO, bf16",
    "openvino-int8": "OpenVINO, int8",
}
NETWORKS = {"resnet50": (256, 128), "promenade": (128, 64)}
BATCH, UNTIMED, CROPS = 16, 2, 16
INCAPABLE = 3
"""Exit status of a row that this processor cannot have."""


def method_of(network: str) -> Any:
    """The method whose embedding is measured."""
    import torch

    from crosslight.config import build
    from crosslight.registry import method_class
    from crosslight.training.run import RunFolder

    if network == "promenade":
        return RunFolder.open(Path(network)).load_method()
    height, width = NETWORKS[network]
    cls = method_class("baseline")
    config = build(cls.Config, {"backbone": network, "weights": "none"}, where="benchmark")
    torch.manual_seed(0)
    return cls(config, num_ids=395, height=height, width=width).eval()


def export(network: str, folder: Path) -> None:
    """The graph of visible images in every format that is measured."""
    import numpy as np

    from crosslight.exporting.graphs import Views, write_graphs
    from crosslight.exporting.quantising import write_int8, write_openvino
    from crosslight.types import Modality

    height, width = NETWORKS[network]
    folder.mkdir()
    paths = write_graphs(method_of(network), folder, Views(), height=height, width=width)
    graph = paths[Modality.VISIBLE].rename(folder / "onnx.onnx")
    write_openvino(graph, folder / "openvino.xml", half=False)
    crops = np.random.default_rng(0).integers(0, 256, (CROPS, height, width, 3), dtype=np.uint8)
    write_int8(graph, folder / "onnx-int8.onnx", "onnx", crops, count=CROPS)
    write_int8(graph, folder / "openvino-int8.xml", "openvino", crops, count=CROPS)


def embedding(variant: str, network: str, folder: Path) -> Callable[[Any], Any]:
    """What is measured: uint8 (N, H, W, 3) in, embeddings out."""
    from crosslight.exporting.runtimes import open_graph

    if variant.startswith("onnx"):
        return open_graph(folder / f"{variant}.onnx", "onnx", threads=1)
    if variant.startswith("openvino"):
        kind = "bf16" if variant.endswith("bf16") else "f32"
        path = folder / f"{variant.removesuffix('-bf16')}.xml"
        return open_graph(path, "openvino", arithmetic=kind, threads=1)
    import torch

    from crosslight.exporting.graphs import Graph, Views
    from crosslight.types import Modality

    torch.set_num_threads(1)
    low = variant == "bf16"
    # Without such instructions torch works bfloat16 out by others, slower than float32.
    if low and not torch.cpu._is_avx512_bf16_supported():
        sys.exit(INCAPABLE)
    graph: Any = Graph(method_of(network), Views(), Modality.VISIBLE).eval()
    for part in graph.modules():
        if hasattr(part, "only"):
            part.only = Modality.VISIBLE
    if variant != "eager":
        graph = graph.to(memory_format=torch.channels_last)
    if variant in ("compiled", "bf16"):
        graph = torch.compile(graph)

    def embed(pixels: Any) -> Any:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            return graph(torch.from_numpy(pixels)).numpy()

    return embed


def measure(variant: str, network: str, folder: Path, seconds: float) -> float:
    """Images per CPU-second."""
    import numpy as np

    from crosslight.errors import ConfigError

    try:
        embed = embedding(variant, network, folder)
    except ConfigError:
        sys.exit(INCAPABLE)
    size = (BATCH, *NETWORKS[network], 3)
    pixels = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    times: list[float] = []
    begun = time.process_time()
    while len(times) < UNTIMED + 3 or time.process_time() - begun < seconds:
        start = time.process_time()
        embed(pixels)
        times.append(time.process_time() - start)
        if len(times) == UNTIMED:
            begun = time.process_time()
    return BATCH / min(times[UNTIMED:])


def rate(variant: str, network: str, folder: Path, seconds: float) -> float | None:
    """`measure` in a process of its own; None where the processor cannot."""
    told = ["--variant", variant, "--network", network, "--folder", str(folder)]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.embedding", *told, "--seconds", str(seconds)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    if run.returncode == INCAPABLE:
        return None
    if run.returncode:
        sys.exit(f"{variant} of {network} failed:\n{run.stderr}")
    return float(json.loads(run.stdout.splitlines()[-1]))


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--variants", default=",".join(VARIANTS), help=", ".join(VARIANTS))
    parser.add_argument("--seconds", type=float, default=4.0, help="of each row, at least")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    parser.add_argument("--network", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.variant:
        print(json.dumps(measure(asked.variant, asked.network, asked.folder, asked.seconds)))
        return
    networks = asked.networks.split(",")
    chosen = asked.variants.split(",")
    with tempfile.TemporaryDirectory() as place:
        for network in networks:
            export(network, Path(place) / network)
        heads = [f"{n}, {NETWORKS[n][0]} x {NETWORKS[n][1]}" for n in networks]
        print(f"| images per CPU-second | {' | '.join(heads)} |")
        print(f"|---|{'---|' * len(networks)}", flush=True)
        eager: dict[str, float] = {}
        for variant in ("eager", *(v for v in chosen if v != "eager")):
            cells = []
            for network in networks:
                found = rate(variant, network, Path(place) / network, asked.seconds)
                base = eager.setdefault(network, found or 1.0)
                cells.append("not here" if found is None else f"{found:.1f} ({found / base:.2f}x)")
            print(f"| {VARIANTS[variant]} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
