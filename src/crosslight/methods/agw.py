"""AGW in two streams (Ye et al., TPAMI 2021) and CAJ's loss for it (Ye et al., ICCV 2021).

A stem for each modality, shared residual layers with non-local attention, generalised-mean
pooling, identity loss and weighted regularised triplet. CAJ is this network on channel-augmented
images (every visible image twice, plain and channel-exchanged: the data's `channel_exchange`)
with the squared triplet. Letters: B batch over all ranks, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.losses import (
    batch_hard_triplet,
    squared_weighted_triplet,
    weighted_regularised_triplet,
)
from crosslight.methods.backbone_config import BackboneConfig, build_backbone
from crosslight.methods.contract import Method, Scheduled, Stage, Update
from crosslight.methods.optimization import Optimization, OptimizerName, make_optimizer
from crosslight.methods.scaling import EpochCount, Epochs, EpochSteps
from crosslight.methods.terms import ACCURACY, Term
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.heads import IdentityHead
from crosslight.nn.normalize import Normalize
from crosslight.nn.pooling import PoolingName, make_pool
from crosslight.nn.precision import full_precision
from crosslight.nn.two_stream import split_backbone
from crosslight.ranges import Positive, Share, Width


@dataclass(frozen=True, kw_only=True)
class AGWConfig(BackboneConfig, Optimization):
    """What a recipe may set under `config`; the rest is at `Optimization` and `BackboneConfig`.

    "AGW" and "CAJ" are the authors' released code of the visible-infrared systems.

    Attributes:
        non_local: How many last blocks of each layer are followed by a non-local block.
        non_local_width: Channels inside such a block: a number (the released AGW and CAJ have
            1), or `half` of the map's, as the non-local paper has it.
        pooling: How the feature map becomes a vector.
        gem_p: Exponent of `gem`.
        learn_gem_p: Whether that exponent is trained.
        parts: Horizontal stripes that are pooled apart and concatenated.
        label_smoothing: Of the identity loss.
        triplet: `weighted` is AGW's, `weighted-squared` CAJ's, `hard` the batch-hard one.
        triplet_as_released: Keeps the numerical guards of the authors' code in the two weighted
            losses, which can hold the squared one at 88 without gradient; see `crosslight.losses`.
        margin: Of `hard`; None is the soft margin.
        id_weight: Weight of the identity loss.
        triplet_weight: Weight of the triplet loss.
    """

    # Backbone, its weights and last stride: AGW model.py.
    non_local: tuple[int, int, int, int] = (0, 2, 3, 0)  # AGW model.py
    non_local_width: Width | Literal["half"] = "half"  # Wang et al. 2018; AGW model.py: 1
    pooling: PoolingName = "gem"  # AGW model.py
    gem_p: Positive = 3.0  # AGW model.py
    learn_gem_p: bool = False  # AGW model.py: fixed
    parts: Width = 1
    label_smoothing: Share = 0.0  # AGW train.py
    triplet: Literal["weighted", "weighted-squared", "hard"] = "weighted"  # AGW loss.py
    triplet_as_released: bool = False
    margin: float | None = None
    id_weight: float = 1.0  # AGW train.py: the plain sum
    triplet_weight: float = 1.0  # AGW train.py: the plain sum
    epochs: EpochCount = 81  # AGW train.py; CAJ 100
    optimizer: OptimizerName = "sgd"  # AGW train.py
    lr: float = 0.1  # AGW train.py: BNNeck and classifier
    backbone_lr_factor: float = 0.1  # AGW train.py
    weight_decay: float = 5e-4  # AGW train.py
    step_epochs: EpochSteps = (20, 50)  # AGW train.py
    warmup_epochs: Epochs = 10  # AGW train.py


TERMS: Mapping[str, Term] = {
    "loss_id": Term(symbol="L_{id}", meaning="who is seen"),
    "loss_triplet": Term(
        symbol="L_{wrt}", meaning="people apart, every pair weighed by its distance"
    ),
    "accuracy": ACCURACY,
}


class AGW(Method):
    """Two-stream AGW; see `AGWConfig`."""

    Config = AGWConfig
    terms: ClassVar = TERMS
    small: ClassVar = {"backbone": "resnet10-quarter", "weights": "none", "warmup_epochs": 0}

    def __init__(self, config: AGWConfig, *, num_ids: int, height: int, width: int) -> None:
        super().__init__()
        self.config = config
        inner = None if config.non_local_width == "half" else config.non_local_width
        backbone = build_backbone(config, (height, width))
        self.normalize = Normalize(backbone.mean, backbone.std)
        self.backbone = split_backbone(backbone, non_local=config.non_local, non_local_width=inner)
        self.pool = make_pool(
            config.pooling, p=config.gem_p, learnable=config.learn_gem_p, stripes=config.parts
        )
        self.head = IdentityHead(backbone.channels * config.parts, num_ids)

    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (Stage(name="train", epochs=self.config.epochs),)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """One optimizer, `model`."""
        return {"model": make_optimizer(self.config, self, new=self.head)}

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """Identity loss after the BNNeck, weighted triplet before it."""
        maps = self.backbone(self.normalize(batch.images), batch.modality)
        with full_precision(maps):
            embeddings = gather_with_gradient(self.pool(maps))  # (B, D)
            labels = gather_with_gradient(batch.labels)
            logits = self.head(embeddings)
            loss_id = F.cross_entropy(
                logits, labels, label_smoothing=self.config.label_smoothing
            )  # L_id
            loss_triplet = self._triplet(embeddings, labels)  # L_wrt
        losses = {"loss_id": loss_id, "loss_triplet": loss_triplet}
        weights = {"loss_id": self.config.id_weight, "loss_triplet": self.config.triplet_weight}
        update("model", losses, weights)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {**losses, "accuracy": accuracy}

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        """The embedding after the BNNeck."""
        maps = self.backbone(self.normalize(images), modality)
        embeddings: Tensor = self.head.neck(self.pool(maps))
        return embeddings

    def _triplet(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        released = self.config.triplet_as_released
        if self.config.triplet == "weighted":
            return weighted_regularised_triplet(embeddings, labels, as_released=released)
        if self.config.triplet == "weighted-squared":
            return squared_weighted_triplet(embeddings, labels, as_released=released)
        return batch_hard_triplet(embeddings, labels, margin=self.config.margin)
