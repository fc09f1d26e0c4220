"""Deep zero-padding (Wu et al., ICCV 2017): one network that may learn to tell the modalities.

Every image is gray and fills one of two input channels: visible [gray; 0], infrared [0; gray].
A unit whose first weights are zero on one channel answers to one modality only, so the one
network holds the two-stream networks as special cases. Identity loss only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.methods.backbone_config import BackboneConfig, build_backbone
from crosslight.methods.contract import Method, Scheduled, Stage, Update
from crosslight.methods.optimization import Optimization, OptimizerName, make_optimizer
from crosslight.methods.scaling import EpochCount, Epochs, EpochSteps
from crosslight.methods.terms import ACCURACY, Term
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.normalize import Normalize, to_gray
from crosslight.nn.pooling import AveragePool
from crosslight.nn.precision import full_precision
from crosslight.ranges import Few, Share
from crosslight.types import Modality


@dataclass(frozen=True, kw_only=True)
class ZeroPaddingConfig(BackboneConfig, Optimization):
    """What a recipe may set under `config`; the rest is at `Optimization` and `BackboneConfig`.

    The paper trained a small ResNet from scratch; no schedule for a pretrained one is in our
    notes: where the comment says "ours", the value is AGW's, so that a comparison of the two shows
    the methods and not their schedules.

    Attributes:
        label_smoothing: Of the identity loss.
    """

    # Backbone and its weights: ours; the paper trains a ResNet-6 from scratch.
    last_stride: Few = 2  # the paper has no such change
    label_smoothing: Share = 0.0  # the paper: softmax loss
    epochs: EpochCount = 81  # ours
    optimizer: OptimizerName = "sgd"  # ours
    lr: float = 0.1  # ours
    backbone_lr_factor: float = 0.1  # ours
    weight_decay: float = 5e-4  # ours
    step_epochs: EpochSteps = (20, 50)  # ours
    warmup_epochs: Epochs = 10  # ours


TERMS: Mapping[str, Term] = {
    "loss_id": Term(meaning="who is seen; the paper's softmax loss"),
    "accuracy": ACCURACY,
}


class ZeroPadding(Method):
    """Deep zero-padding; see `ZeroPaddingConfig`."""

    Config = ZeroPaddingConfig
    terms: ClassVar = TERMS
    small: ClassVar = {"backbone": "resnet10-quarter", "weights": "none", "warmup_epochs": 0}
    distance = "euclidean"

    def __init__(self, config: ZeroPaddingConfig, *, num_ids: int, height: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config, (height, width), in_channels=len(Modality))
        self.normalize = Normalize(self.backbone.mean[:1], self.backbone.std[:1])
        self.pool = AveragePool()
        self.classifier = nn.Linear(self.backbone.channels, num_ids)
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)

    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (Stage(name="train", epochs=self.config.epochs),)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """One optimizer, `model`."""
        return {"model": make_optimizer(self.config, self, new=self.classifier)}

    def padded(self, images: Tensor, modality: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 2, H, W): normalised gray in the modality's channel, 0."""
        gray = self.normalize(to_gray(images))
        channel = F.one_hot(modality, len(Modality)).to(gray.dtype)
        padded: Tensor = gray * channel[:, :, None, None]
        return padded

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """Identity loss on the last feature."""
        maps = self.backbone(self.padded(batch.images, batch.modality))
        with full_precision(maps):
            features = gather_with_gradient(self.pool(maps))
            labels = gather_with_gradient(batch.labels)
            logits = self.classifier(features)
            loss_id = F.cross_entropy(logits, labels, label_smoothing=self.config.label_smoothing)
        update("model", {"loss_id": loss_id})
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {"loss_id": loss_id, "accuracy": accuracy}

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        """The last feature, before the classifier; the paper compares it by Euclidean distance."""
        features: Tensor = self.pool(self.backbone(self.padded(images, modality)))
        return features
