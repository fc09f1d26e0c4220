"""BDTR (Ye et al., IJCAI 2018) and TONE (Ye et al., AAAI 2018): two streams, one embedding.

A network for each modality, then a linear layer that both share and whose values are the
embedding. Identity loss, and a loss that compares images across modalities: BDTR's top-ranking
loss, TONE's contrastive loss, or none, which is the plain two-stream baseline.
Letters: B batch over all ranks, C channels of the backbone, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.losses import bidirectional_top_ranking, cross_modal_contrastive
from crosslight.methods.backbone_config import BackboneConfig, build_backbone
from crosslight.methods.contract import Method, Scheduled, Stage, Update
from crosslight.methods.optimization import Optimization, OptimizerName, make_optimizer
from crosslight.methods.scaling import EpochCount, EpochSteps
from crosslight.methods.terms import ACCURACY, Term
from crosslight.nn.bottleneck_head import BottleneckHead
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.normalize import Normalize
from crosslight.nn.pooling import PoolingName, make_pool
from crosslight.nn.precision import full_precision
from crosslight.nn.two_stream import Streams, build_streams
from crosslight.ranges import Dropout, Few, Positive, Width

SLOPE = 0.1
"""Of the leaky ReLU between embedding and classifier."""


@dataclass(frozen=True, kw_only=True)
class BDTRConfig(BackboneConfig, Optimization):
    """What a recipe may set under `config`; the rest is at `Optimization` and `BackboneConfig`.

    "BDTR" and "TONE" are the papers, which have an AlexNet in each stream; "two-stream" is the
    ResNet-50 baseline that their first author published in 2019, whose network this is.

    Attributes:
        streams: `whole` gives each modality a backbone of its own, the two starting alike; `stem`
            only the first layers of a ResNet, with half of the weights.
        pooling: How the feature map becomes a vector.
        gem_p: Exponent of `gem`.
        parts: Horizontal stripes that are pooled apart and concatenated.
        dim: D.
        dropout: Probability that a value is dropped before the classifier.
        metric: `ranking` is BDTR's loss, `contrastive` TONE's.
        metric_weight: Weight of that loss; TONE 0.2.
        cross_margin: BDTR's rho1; also the margin of `contrastive`.
        intra_margin: BDTR's rho2.
        intra_weight: Weight of BDTR's intra-modality term within its loss; 0 is "BCTR".
    """

    # Backbone and its weights: two-stream; BDTR has AlexNet.
    streams: Streams = "whole"  # BDTR, TONE, two-stream
    last_stride: Few = 2  # two-stream
    pooling: PoolingName = "avg"  # two-stream
    gem_p: Positive = 3.0
    parts: Width = 1
    dim: Width = 512  # two-stream; BDTR 1024, TONE 2048
    dropout: Dropout = 0.0  # two-stream; BDTR 0.5
    metric: Literal["ranking", "contrastive", "none"] = "ranking"  # BDTR
    metric_weight: float = 1.0  # BDTR
    cross_margin: float = 0.5  # BDTR; TONE 0.5
    intra_margin: float = 0.1  # BDTR
    intra_weight: float = 0.1  # BDTR
    epochs: EpochCount = 61  # two-stream
    optimizer: OptimizerName = "sgd"  # two-stream
    lr: float = 0.01  # two-stream: the layers after the backbones
    backbone_lr_factor: float = 0.1  # two-stream
    weight_decay: float = 5e-4  # two-stream
    step_epochs: EpochSteps = (30, 60)  # two-stream


TERMS: Mapping[str, Term] = {
    "loss_id": Term(symbol="L_{id}", meaning="who is seen"),
    "loss_cross": Term(
        symbol="L_{cross}", meaning="the person nearer than anybody else in the other light"
    ),
    "loss_intra": Term(
        symbol="L_{intra}", meaning="the person and that somebody else apart from each other"
    ),
    "loss_contrastive": Term(meaning="people together and apart across light (TONE)"),
    "accuracy": ACCURACY,
}


class BDTR(Method):
    """BDTR; see `BDTRConfig`."""

    Config = BDTRConfig
    terms: ClassVar = TERMS
    small: ClassVar = {"backbone": "resnet10-quarter", "weights": "none", "dim": 32}

    def __init__(self, config: BDTRConfig, *, num_ids: int, height: int, width: int) -> None:
        super().__init__()
        self.config = config
        backbone = build_backbone(config, (height, width))
        self.normalize = Normalize(backbone.mean, backbone.std)
        self.backbone = build_streams(backbone, config.streams)
        self.pool = make_pool(config.pooling, p=config.gem_p, stripes=config.parts)
        channels = backbone.channels * config.parts
        self.head = BottleneckHead(
            channels, config.dim, num_ids, dropout=config.dropout, slope=SLOPE
        )

    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (Stage(name="train", epochs=self.config.epochs),)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """One optimizer, `model`."""
        return {"model": make_optimizer(self.config, self, new=self.head)}

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """Identity loss on all images, and the loss across modalities."""
        vectors = self._vectors(batch.images, batch.modality)
        with full_precision(vectors):
            embeddings = self.head.embed(gather_with_gradient(vectors))  # (B, D)
            labels = gather_with_gradient(batch.labels)
            modality = gather_with_gradient(batch.modality)
            logits = self.head.classify(embeddings)
            losses = {"loss_id": F.cross_entropy(logits, labels)}
            losses |= self._metric(embeddings, labels, modality)
        weights = {
            "loss_contrastive": self.config.metric_weight,
            "loss_cross": self.config.metric_weight,
            "loss_intra": self.config.metric_weight * self.config.intra_weight,
        }
        update("model", losses, weights)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {**losses, "accuracy": accuracy}

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        """The shared layer's values after its batch norm, to be compared by the cosine."""
        vectors = self._vectors(images, modality)
        with full_precision(vectors):
            return self.head.embed(vectors)

    def _vectors(self, images: Tensor, modality: Tensor) -> Tensor:
        vectors: Tensor = self.pool(self.backbone(self.normalize(images), modality=modality))
        return vectors

    def _metric(self, embeddings: Tensor, labels: Tensor, modality: Tensor) -> dict[str, Tensor]:
        config = self.config
        if config.metric == "contrastive":
            loss = cross_modal_contrastive(embeddings, labels, modality, margin=config.cross_margin)
            return {"loss_contrastive": loss}
        if config.metric == "none":
            return {}
        cross, intra = bidirectional_top_ranking(
            embeddings,
            labels,
            modality,
            cross_margin=config.cross_margin,
            intra_margin=config.intra_margin,
        )
        return {"loss_cross": cross, "loss_intra": intra}
