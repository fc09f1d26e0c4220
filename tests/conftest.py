import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from absl import logging as absl_logging
from hypothesis import HealthCheck, settings
from PIL import Image

from crosslight import cli
from crosslight.data.promenade import make
from tests.incapable import IncapableError

# As in `crosslight.cli.main`: tests share their cores with each other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# What a test expects does not depend on a GPU that happens to be there; those of every method are
# asked for one (`make gpu`).
if "CROSSLIGHT_TEST_DEVICE" not in os.environ:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

# When all handlers are closed, as uvicorn does, absl's (of tensorboard) closes the stream that it
# found at its import, which may be what pytest captures everything with, and spares this one.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__

CONTINUOUS = os.environ.get("CI", "").lower() not in {"", "0", "false"}

# How fast a machine is says nothing about the code. In continuous integration everybody sees the
# same cases; elsewhere new ones are tried each time.
settings.register_profile(
    "crosslight",
    deadline=None,
    print_blob=True,
    derandomize=CONTINUOUS,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("crosslight")


def _refuse_skip(report: Any) -> None:
    """In continuous integration what a test needs is installed: a green run hides nothing."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}: with CI=true nothing may be skipped. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[Any]) -> Iterator[Any]:
    report = yield
    expected = hasattr(report, "wasxfail")
    incapable = call.excinfo is not None and isinstance(call.excinfo.value, IncapableError)
    if CONTINUOUS and report.skipped and not expected and not incapable:
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[Any]:
    report = yield
    if CONTINUOUS and report.skipped:
        _refuse_skip(report)
    return report


RECIPE = """
method: agw
config: {backbone: resnet10-half, weights: none, epochs: 1, non_local: [0, 0, 0, 0]}
data:
  height: 32
  width: 16
  ids_per_batch: 2
  visible_per_id: 2
  infrared_per_id: 2
  iterations_per_epoch: 2
  workers: 0
"""


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that other users may read, as `tmp_path` is none."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def promenade(tmp_path_factory) -> Path:
    """A tiny Promenade in the layout of SYSU-MM01; not to be changed."""
    root = tmp_path_factory.mktemp("promenade") / "data"
    make(root, preset="tiny", height=32, width=16, progress=False)
    return root


@pytest.fixture(scope="session")
def drawn_people(tmp_path_factory) -> list[Image.Image]:
    """Two people of 90 x 180 pixels, in daylight, each on a background; not to be changed."""
    root = tmp_path_factory.mktemp("drawn") / "people"
    nobody = {"people": 0, "val_people": 0, "progress": False}
    size = {"test_people": 4, "images_per_camera": 1, "height": 180, "width": 90}
    make(root, layout="table", seed=7, **nobody, **size)
    return [Image.open(root / f"cam1/{n:04d}/0001.jpg").convert("RGB") for n in (1, 4)]


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, promenade, recipe) -> Path:
    """A run that was trained and evaluated; not to be changed."""
    run = tmp_path_factory.mktemp("trained") / "run"
    data = f"sysu-mm01:{promenade}"
    cli.main(["train", str(recipe), "--data", data, "--out", str(run)])
    cli.main(["evaluate", str(run), "--data", data, "--workers", "0"])
    return run
