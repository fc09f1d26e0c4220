"""D2RL's feature level T_F: a ResNet on unified images, and the two heads behind FC-1024.

Letters: B batch, U channels of a unified image, D length of the shared layer, M of the metric one.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from crosslight.methods.backbone_config import build_backbone
from crosslight.methods.d2rl.config import D2RLConfig, Unification
from crosslight.nn.normalize import Normalize
from crosslight.nn.pooling import AveragePool
from crosslight.nn.precision import full_precision

CHANNELS: dict[Unification, int] = {"multispectral": 4, "visible": 3, "infrared": 1, "none": 3}
"""U."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """What the feature level makes of a batch.

    Attributes:
        shared: (B, D) of FC-1024.
        metric: (B, M) of FC-128, which the triplet loss compares.
        logits: (B, people) of FC-N_p.
    """

    shared: Tensor
    metric: Tensor
    logits: Tensor


class Heads(nn.Module):
    """What replaces ImageNet's classifier: FC-1024, then FC-128 and FC-N_p side by side.

    Args:
        channels: Of the ResNet's last layer.
        dim: D.
        metric_dim: M.
        num_ids: Training people.
        norm: Batch normalisation behind the shared layer.
    """

    def __init__(
        self, channels: int, *, dim: int, metric_dim: int, num_ids: int, norm: bool
    ) -> None:
        super().__init__()
        self.shared = nn.Linear(channels, dim)
        self.norm = nn.BatchNorm1d(dim) if norm else nn.Identity()
        self.metric = nn.Linear(dim, metric_dim)
        self.classifier = nn.Linear(dim, num_ids)
        nn.init.kaiming_normal_(self.shared.weight, mode="fan_out")
        nn.init.zeros_(self.shared.bias)
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, vectors: Tensor) -> Features:
        """(B, channels) → the three layers."""
        shared = self.norm(self.shared(vectors))
        return Features(shared=shared, metric=self.metric(shared), logits=self.classifier(shared))


class FeatureLevel(nn.Module):
    """T_F; takes (B, U, H, W) unified images in [0, 1].

    Attributes:
        normalize: To what the ResNet was trained on; infrared by the mean of the three colours.
        backbone: The ResNet; its first convolution takes U channels.
        heads: See `Heads`.
    """

    def __init__(self, config: D2RLConfig, *, num_ids: int, height: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config, (height, width), in_channels=CHANNELS[config.unify])
        self.normalize = Normalize(self.backbone.mean, self.backbone.std)
        self.pool = AveragePool()
        self.heads = Heads(
            self.backbone.channels,
            dim=config.dim,
            metric_dim=config.metric_dim,
            num_ids=num_ids,
            norm=config.dim_norm,
        )

    def forward(self, unified: Tensor) -> Features:
        """(B, U, H, W) in [0, 1] → features."""
        maps = self.backbone(self.normalize(unified))
        with full_precision(maps):
            features: Features = self.heads(self.pool(maps))
        return features
