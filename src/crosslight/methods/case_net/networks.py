"""The networks of CASE-Net that DG-Net has not.

Letters: B batch, S channels of the shape code, h and w its height and width, C length of a vector.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from crosslight.errors import ConfigError
from crosslight.methods.case_net.config import CaseNetConfig
from crosslight.methods.dgnet.networks import StructureEncoder
from crosslight.methods.structure_id.body import StructureBody
from crosslight.nn.backbones import Backbone, create_backbone
from crosslight.nn.conv_block import SLOPE
from crosslight.nn.precision import wide


def shape_encoder(config: CaseNetConfig) -> StructureEncoder | Backbone:
    """E_S, one for gray and colour: (B, 3, H, W) → (B, S, h, w).

    Raises:
        ConfigError: It shall be a ResNet and is none.
        CheckpointError: Its weights cannot be had or do not fit.
    """
    if config.shape_encoder != "resnet":
        return StructureEncoder(config.structure_width, config.dilations, source="colour")
    backbone = create_backbone(
        config.shape_backbone, weights=config.shape_weights, sha256=config.shape_sha256
    )
    if not hasattr(backbone.network, "layer4"):
        raise ConfigError(
            f"CASE-Net's shape encoder cannot be a {config.shape_backbone}; give "
            "config.shape_backbone a ResNet."
        )
    return backbone


def structure_body(config: CaseNetConfig, code_channels: int) -> StructureBody | None:
    """What makes a vector of an `aspp` code; None where the mean over the code does.

    Raises:
        ConfigError: See `StructureBody`.
    """
    if config.shape_encoder != "aspp+body":
        return None
    return StructureBody(
        code_channels,
        kind=config.structure_body,
        network=config.body_network,
        weights=config.body_weights,
        squeezed=False,
    )


class VectorClassifier(nn.Module):
    """Batch norm, whose values are the embedding, and linear layer with bias; torch's start.

    Args:
        channels: C.
        num_ids: Number of training people.
    """

    def __init__(self, channels: int, num_ids: int) -> None:
        super().__init__()
        self.neck = nn.BatchNorm1d(channels)
        self.classifier = nn.Linear(channels, num_ids)

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, C) → (B, num_ids) logits."""
        logits: Tensor = self.classifier(self.neck(vectors))
        return logits


class DomainCritic(nn.Module):
    """D_F: at each position of a shape code, whether it is that of a gray image.

    Args:
        code_channels: S.
        width: Channels of the first layer; half as many of the two that follow.
    """

    def __init__(self, code_channels: int, width: int) -> None:
        super().__init__()
        half = max(1, width // 2)
        self.layers = nn.Sequential()
        for before, after in pairwise((code_channels, width, half, half)):
            self.layers.extend([nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(SLOPE)])
        self.layers.append(nn.Conv2d(half, 1, 3, padding=1))

    def forward(self, code: Tensor) -> Tensor:
        """(B, S, h, w) → (B, 1, h, w) logits, float32 or wider."""
        logits: Tensor = self.layers(code)
        return wide(logits)


def reversed_gradient(tensor: Tensor) -> Tensor:
    """The same values; their gradient comes back negated (Ganin and Lempitsky, ICML 2015)."""
    return 2 * tensor.detach() - tensor
