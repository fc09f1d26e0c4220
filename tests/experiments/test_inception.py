"""FID and KID of this package beside those of torchmetrics."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import crosslight.data.torchvision_build  # noqa: F401

# isort: split
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from torchvision.models import resnet18

from crosslight.errors import CheckpointError
from crosslight.experiments.inception import Inception
from crosslight.probing.realism import frechet_distance, kernel_distance
from tests.random_inception import write_inception


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inception(tmp_path_factory.mktemp("inception") / "pt_inception.pth")


def test_the_distances_are_those_of_torchmetrics(file: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 200, (5, 48, 24, 3), dtype=np.uint8)
    real = rng.integers(60, 256, (6, 48, 24, 3), dtype=np.uint8)
    space = Inception(file)
    ours = space(drawn), space(real)

    fid = FrechetInceptionDistance(feature_extractor_weights_path=str(file), antialias=False)
    kid = KernelInceptionDistance(fid.inception, subsets=1, subset_size=5)
    for images, is_real in ((drawn, False), (real, True)):
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        fid.update(pixels, real=is_real)
        kid.update(pixels[:5], real=is_real)
    assert frechet_distance(*ours) == pytest.approx(float(fid.compute()), rel=1e-3)
    assert kernel_distance(ours[0], ours[1][:5]) == pytest.approx(float(kid.compute()[0]), rel=1e-3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "There is no weight file"),
        (resnet18().state_dict(), "other names or shapes than the Inception of FID"),
        (pickle.dumps(Path), "would run code on loading and was refused"),
    ],
    ids=["missing", "another network", "code"],
)
def test_another_file_is_refused(content: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=said):
        Inception(path)
