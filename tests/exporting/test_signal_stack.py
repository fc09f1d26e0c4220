"""A model that is let go on another thread leaves every thread able to hear signals."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import faulthandler, gc, signal, sys, threading
from pathlib import Path

import numpy as np
import torch

from crosslight.exporting.card import INPUT, OUTPUT
from crosslight.exporting.quantising import write_openvino
from crosslight.exporting.runtimes import open_graph

faulthandler.enable()  # which has a stack of its own, as in every run of the tests
graph, written = Path(sys.argv[1]) / "a.onnx", Path(sys.argv[1]) / "a.xml"


class Means(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = torch.nn.Conv2d(3, 4, 3)

    def forward(self, images):
        return self.mix(images.permute(0, 3, 1, 2).float()).mean(dim=(2, 3))


crops = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), dtype=np.uint8)
torch.onnx.export(
    Means().eval(), (torch.from_numpy(crops),), graph, input_names=[INPUT], output_names=[OUTPUT],
    dynamic_axes={INPUT: {0: "n"}, OUTPUT: {0: "n"}}, dynamo=False,
)
write_openvino(graph, written, half=False)
held = [open_graph(written, "openvino")]
held[0](crops)
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))


def let_go():
    held.clear()
    gc.collect()


other = threading.Thread(target=let_go)
other.start()
other.join()
signal.raise_signal(signal.SIGUSR1)
print("heard", len(heard))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals have a stack on Linux")
def test_a_signal_is_heard_after_another_thread_let_a_model_go(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["heard", "1"]
