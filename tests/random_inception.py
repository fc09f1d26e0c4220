"""A file as that of FID's Inception, its names and shapes torch-fidelity's, its numbers drawn."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

import crosslight.data.torchvision_build  # noqa: F401

# isort: split
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3


class _Unread(FeatureExtractorInceptionV3):
    def load_state_dict(self, *_: object, **__: object) -> None:
        """Keeps what was drawn."""


def write_inception(path: Path) -> Path:
    """Weights that keep the size of what goes through them, of one seed."""
    torch.save({}, path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _Unread("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    torch.save(network.state_dict(), path)
    return path
