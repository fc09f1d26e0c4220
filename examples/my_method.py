"""A whole method outside the package: one stream, and centres that meet across light.

    crosslight train examples/my_method.yaml --data sysu-mm01:people --out runs/mine
    export CROSSLIGHT_METHODS=$PWD/examples/my_method.py
    crosslight evaluate runs/mine --data sysu-mm01:people

The idea is that of the hetero-center loss (Zhu et al., Neurocomputing 2020): the mean of a person's
visible embeddings and the mean of the infrared ones shall be the same point. Everything else is as
plain as can be; nothing here is the paper's network or its settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.methods.backbone_config import BackboneConfig, build_backbone
from crosslight.methods.contract import Method, Scheduled, Stage, Update
from crosslight.methods.optimization import Optimization, OptimizerName, make_optimizer
from crosslight.methods.terms import Term
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.heads import IdentityHead
from crosslight.nn.normalize import Normalize
from crosslight.nn.pooling import AveragePool
from crosslight.nn.precision import full_precision
from crosslight.ranges import Count
from crosslight.types import Modality


def centres_apart(embeddings: Tensor, labels: Tensor, modality: Tensor) -> Tensor:
    """Squared distance between a person's two centres, mean over those seen in both lights.

    Args:
        embeddings: (B, D).
        labels: (B,) who it is.
        modality: (B,) `Modality`.

    Returns:
        A scalar; 0 where nobody is seen in both.
    """
    apart = []
    for label in labels.unique():
        visible = embeddings[(labels == label) & (modality == Modality.VISIBLE)]
        infrared = embeddings[(labels == label) & (modality == Modality.INFRARED)]
        if len(visible) and len(infrared):
            apart.append((visible.mean(dim=0) - infrared.mean(dim=0)).square().sum())
    return torch.stack(apart).mean() if apart else embeddings.sum() * 0


@dataclass(frozen=True, kw_only=True)
class MyConfig(BackboneConfig, Optimization):
    """What a recipe may set under `config`; backbone and optimizer bring their own settings.

    Attributes:
        centre_weight: Weight of the distance between centres.
    """

    centre_weight: float = 0.5
    epochs: Count = 20
    optimizer: OptimizerName = "adamw"
    lr: float = 1e-3


class MyMethod(Method):
    """Identity loss, and centres that meet."""

    Config = MyConfig
    small: ClassVar = {"backbone": "resnet10-quarter", "weights": "none", "warmup_epochs": 0}
    terms: ClassVar = {
        "loss_id": Term(meaning="who is seen"),
        "loss_centres": Term(meaning="a person has one centre in both lights"),
    }

    def __init__(self, config: MyConfig, *, num_ids: int, height: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config, (height, width))
        self.normalize = Normalize(self.backbone.mean, self.backbone.std)
        self.pool = AveragePool()
        self.head = IdentityHead(self.backbone.channels, num_ids)

    def stages(self) -> tuple[Stage, ...]:
        """One stage; a second one would be one entry more."""
        return (Stage(name="train", epochs=self.config.epochs),)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """One optimizer, `model`."""
        return {"model": make_optimizer(self.config, self, new=self.head)}

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """Both losses, then one step on their weighted sum."""
        maps = self.backbone(self.normalize(batch.images))
        with full_precision(maps):
            embeddings = gather_with_gradient(self.pool(maps))
            labels = gather_with_gradient(batch.labels)
            modality = gather_with_gradient(batch.modality)
            losses = {
                "loss_id": F.cross_entropy(self.head(embeddings), labels),
                "loss_centres": centres_apart(embeddings, labels, modality),
            }
        update("model", losses, {"loss_centres": self.config.centre_weight})
        return losses

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:  # noqa: ARG002
        """The pooled features after the head's normalisation; the light plays no part."""
        embeddings: Tensor = self.head.neck(self.pool(self.backbone(self.normalize(images))))
        return embeddings
