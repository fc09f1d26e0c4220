"""The one-stream baseline: bag of tricks (Luo et al., CVPR Workshops 2019).

One network sees every image alike, so it serves single-modality data and, as the plainest
baseline, visible-infrared data too. Letters: B batch over all ranks, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.losses import batch_hard_triplet
from crosslight.methods.backbone_config import BackboneConfig, build_backbone
from crosslight.methods.contract import Method, Scheduled, Stage, Update
from crosslight.methods.optimization import Optimization, OptimizerName, make_optimizer
from crosslight.methods.scaling import EpochCount, EpochSteps, Iterations
from crosslight.methods.terms import ACCURACY, Term
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.heads import IdentityHead
from crosslight.nn.normalize import Normalize
from crosslight.nn.pooling import PoolingName, make_pool
from crosslight.nn.precision import full_precision
from crosslight.ranges import Positive, Share, Width


@dataclass(frozen=True, kw_only=True)
class BaselineConfig(BackboneConfig, Optimization):
    """What a recipe may set under `config`; the rest is at `Optimization` and `BackboneConfig`.

    "BoT" is the paper, "fast-reid" the configuration of its most used implementation.

    Attributes:
        pooling: How the feature map becomes a vector.
        gem_p: Exponent of `gem`.
        parts: Horizontal stripes that are pooled apart and concatenated.
        label_smoothing: Of the identity loss.
        margin: Of the triplet loss; None is the soft margin.
        id_weight: Weight of the identity loss.
        triplet_weight: Weight of the triplet loss.
    """

    # Backbone, its weights and last stride: BoT, sections 2 and 3.4.
    pooling: PoolingName = "avg"  # BoT, section 2
    gem_p: Positive = 3.0
    parts: Width = 1
    label_smoothing: Share = 0.1  # BoT, section 3.3
    margin: float | None = 0.3  # BoT, section 2
    id_weight: float = 1.0  # BoT, section 2: the plain sum
    triplet_weight: float = 1.0  # BoT, section 2: the plain sum
    epochs: EpochCount = 120  # BoT, section 2
    optimizer: OptimizerName = "adam"  # BoT, section 2
    lr: float = 3.5e-4  # BoT, section 2
    weight_decay: float = 5e-4  # fast-reid
    step_epochs: EpochSteps = (40, 90)  # fast-reid; BoT itself has 40 and 70
    warmup_iterations: Iterations = 2000  # fast-reid; BoT itself has ten epochs
    warmup_start: Share = 0.1  # fast-reid


TERMS: Mapping[str, Term] = {
    "loss_id": Term(symbol="L_{ID}", meaning="who is seen"),
    "loss_triplet": Term(
        symbol="L_{Triplet}", meaning="the furthest positive nearer than the nearest negative"
    ),
    "accuracy": ACCURACY,
}


class Baseline(Method):
    """Bag of tricks with BNNeck; see `BaselineConfig`."""

    Config = BaselineConfig
    terms: ClassVar = TERMS
    small: ClassVar = {
        "backbone": "resnet10-quarter",
        "weights": "none",
        "warmup_iterations": 0,
    }

    def __init__(self, config: BaselineConfig, *, num_ids: int, height: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config, (height, width))
        self.normalize = Normalize(self.backbone.mean, self.backbone.std)
        self.pool = make_pool(config.pooling, p=config.gem_p, stripes=config.parts)
        self.head = IdentityHead(self.backbone.channels * config.parts, num_ids)

    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (Stage(name="train", epochs=self.config.epochs),)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """One optimizer, `model`."""
        return {"model": make_optimizer(self.config, self, new=self.head)}

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """Identity loss after the BNNeck, triplet loss before it."""
        maps = self.backbone(self.normalize(batch.images))
        with full_precision(maps):
            f_t = gather_with_gradient(self.pool(maps))  # (B, D), BoT's f_t
            labels = gather_with_gradient(batch.labels)
            logits = self.head(f_t)
            loss_id = F.cross_entropy(
                logits, labels, label_smoothing=self.config.label_smoothing
            )  # L_ID
            loss_triplet = batch_hard_triplet(f_t, labels, margin=self.config.margin)  # L_Triplet
        losses = {"loss_id": loss_id, "loss_triplet": loss_triplet}
        weights = {"loss_id": self.config.id_weight, "loss_triplet": self.config.triplet_weight}
        update("model", losses, weights)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {**losses, "accuracy": accuracy}

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:  # noqa: ARG002
        """The embedding after the BNNeck, BoT's f_i; modality plays no part."""
        maps = self.backbone(self.normalize(images))
        embeddings: Tensor = self.head.neck(self.pool(maps))
        return embeddings
