"""What a D2RL recipe may set, and how its learning rates move."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import nn

from crosslight.errors import ConfigError
from crosslight.methods.backbone_config import BackboneConfig
from crosslight.methods.contract import Progress, Scheduled
from crosslight.methods.optimization import ScheduleName
from crosslight.methods.scaling import Iterations, Steps
from crosslight.nn.conv_block import SLOPE
from crosslight.nn.patch_critic import GanLoss
from crosslight.nn.vae import SHRINK
from crosslight.ranges import Count, Few, Share, Width

TRAIN_IMAGE_LEVEL = "train"
IMAGE, FEATURE, JOINT = "image", "feature", "joint"

Unification = Literal["multispectral", "visible", "infrared", "none"]
ImageLoss = Literal["vae_v", "vae_i", "gan_v", "gan_i", "cc_v", "cc_i"]


@dataclass(frozen=True, kw_only=True)
class D2RLConfig(BackboneConfig):
    """What a recipe may set under `config`.

    The paper's text is not at hand. "Notes" is what descriptions of it say: the two levels, the six
    image losses and the heads, but no weights, sizes or schedules; where they are silent the paper
    may not be. "UNIT" is the code of 2018 of the network family that the paper builds on (Liu et
    al., NIPS 2017); "ours" is a choice made here. Iterations count from 0. The backbone is the
    feature level's; its fields are at `BackboneConfig`.

    Attributes:
        unify: What an image becomes before the feature level: 4 channels (colours and infrared,
            one of them generated), 3 (generated colours for infrared images), 1 (generated
            infrared for visible images), or the image as it is.
        joint: Whether the last `joint_iterations` train both levels together. If not, they train
            the feature level alone, so that it moves equally often.
        without: Image losses to leave out.
        image_weights: `train` trains the image level as the first stage; a path (the weights of
            a run of this method) skips that stage.
        image_sha256: Digest that the file must have.
        width: Channels of the first convolution of encoders; four times as many in a code.
        blocks: Residual blocks of an encoder, and of a decoder.
        shared_blocks: How many of them, at the codes' side, both modalities share; UNIT shared 1
            in 2017 and none in 2018.
        encoder_norm: Instance normalisation in the encoders' first three layers.
        slope: Of the leaky ReLUs in encoders and decoders; UNIT has 0, the plain ReLU.
        infrared_channels: Of what encoders, decoders and critics of the infrared take and give.
        critic_width: Channels of the critics' first convolution.
        critic_layers: Halvings in a critic.
        critic_scales: Image sizes that a critic looks at.
        image_shrink: The image level works on images so many times smaller; what it generates is
            enlarged bilinearly.
        image_batch: How many images of each modality the image losses see in an iteration, spread
            evenly over the batch; None: all.
        gan: Form of the adversarial loss.
        recon_weight: Of the reconstruction in L_VAE.
        kl_weight: Of the divergence in L_VAE.
        gan_weight: Of L_GAN.
        cycle_weight: Of the cross reconstruction in L_CC.
        cycle_kl_weight: Of the divergence of the second encoding in L_CC.
        keep_weight: Of a seventh and an eighth image loss, CycleGAN's identity mapping: an infrared
            image taken for a visible one stays as it is when drawn in infrared, and the gray of a
            visible image taken for infrared gets its colours back. Against translations that are
            inverted copies.
        infrared_weight: Of the three infrared image losses over the three visible ones. All are
            means over pixels and channels, so that 1 channel counts as much as 3.
        image_iterations: Length of the image stage.
        image_lr: Adam's, for the image level and its critics.
        image_lr_steps: Iterations of the image stage at which it is halved.
        image_weight_decay: L2 penalty of the image level.
        joint_lr_factor: Learning rate of the image level in the joint stage over `image_lr`.
        dim: Length of the layer that replaces ImageNet's classifier.
        dim_norm: Batch normalisation behind that layer.
        metric_dim: Length of the head of the triplet loss.
        feature: Which of the two layers is the embedding.
        triplet: `hard` compares the hardest pairs of FC-128; `weighted` is AGW's, over all pairs,
            without a margin. A network from scratch does not get over the hardest ones.
        margin: Of the hard triplet loss; None is the soft margin.
        label_smoothing: Of the identity loss.
        id_weight: Of the identity loss.
        triplet_weight: Of the triplet loss.
        feature_weight: w_F, of the feature level's losses in the joint stage.
        samples: Noise samples drawn of each image's code for the feature level.
        feature_iterations: Length of the feature stage.
        joint_iterations: Length of the joint stage, or of what takes its place.
        optimizer: Of the feature level; `sgd` has Nesterov momentum.
        lr: Its rate for the heads.
        backbone_lr_factor: Rate of the ResNet over that of the heads.
        weight_decay: Of the feature level.
        schedule: `step` falls to a tenth at each of `lr_steps`; `cosine` falls to 0. Both run over
            the feature stage and what follows as one.
        lr_steps: See `schedule`.
        warmup_iterations: A straight line from 0 over these iterations, before the schedule acts.
    """

    unify: Unification = "multispectral"  # notes
    joint: bool = True  # notes
    without: tuple[ImageLoss, ...] = ()  # notes: all six
    image_weights: str = TRAIN_IMAGE_LEVEL
    image_sha256: str | None = None
    width: Width = 64  # UNIT
    blocks: Few = 4  # UNIT
    shared_blocks: int = 0  # UNIT
    encoder_norm: bool = True  # UNIT
    slope: Share = SLOPE  # ours; UNIT 0
    infrared_channels: Literal[1, 3] = 1  # ours: gives the paper's 4 channels
    critic_width: Width = 64  # UNIT
    critic_layers: Few = 4  # UNIT
    critic_scales: Few = 3  # UNIT
    image_shrink: Literal[1, 2, 4] = 1  # ours
    image_batch: Count | None = None  # UNIT has 1
    gan: GanLoss = "least-squares"  # UNIT; notes: the logarithm
    recon_weight: float = 10.0  # UNIT: lambda 1
    kl_weight: float = 0.01  # UNIT: lambda 0
    gan_weight: float = 1.0  # UNIT
    cycle_weight: float = 10.0  # UNIT
    cycle_kl_weight: float = 0.01  # UNIT
    keep_weight: float = 0.0  # notes: no such loss
    infrared_weight: float = 1.0  # UNIT
    image_iterations: Iterations = 100_000  # ours
    image_lr: float = 1e-4  # UNIT
    image_lr_steps: Steps = ()  # UNIT: every 100,000 of a million
    image_weight_decay: float = 1e-4  # UNIT
    joint_lr_factor: float = 0.1  # ours
    # Backbone and its weights: notes.
    last_stride: Few = 2  # notes: no change of the ResNet but its ends
    dim: Width = 1024  # notes
    dim_norm: bool = True  # ours
    metric_dim: Width = 128  # notes
    feature: Literal["shared", "metric"] = "shared"  # ours: our notes do not say
    triplet: Literal["hard", "weighted"] = "hard"  # ours: our notes do not say
    margin: float | None = 0.3  # ours
    label_smoothing: Share = 0.0  # notes: cross-entropy
    id_weight: float = 1.0  # ours
    triplet_weight: float = 1.0  # ours
    feature_weight: float = 1.0  # ours
    samples: Few = 1  # ours
    feature_iterations: Iterations = 42_000  # ours: 80 epochs of SYSU-MM01
    joint_iterations: Iterations = 10_000  # ours
    optimizer: Literal["sgd", "adamw"] = "sgd"  # ours
    lr: float = 0.1  # ours
    backbone_lr_factor: float = 0.1  # ours
    weight_decay: float = 5e-4  # ours
    schedule: ScheduleName = "step"  # ours
    lr_steps: Steps = (16_000, 32_000)  # ours: epochs 30 and 60
    warmup_iterations: Iterations = 0  # ours

    @property
    def has_image_level(self) -> bool:
        """Whether anything is generated."""
        return self.unify != "none"

    @property
    def is_joint(self) -> bool:
        """Whether the two levels are trained together at the end."""
        return self.joint and self.has_image_level and self.joint_iterations > 0

    @property
    def trains_image_level(self) -> bool:
        """Whether the image level has a stage of its own."""
        return self.has_image_level and self.image_weights == TRAIN_IMAGE_LEVEL


def refuse_contradictions(config: D2RLConfig, height: int, width: int) -> None:
    """Checks that the image level can take images of this size, and that its blocks add up.

    Raises:
        ConfigError: They are too small or do not divide, or more blocks are shared than there are.
    """
    if config.shared_blocks > config.blocks:
        raise ConfigError(
            f"config.shared_blocks is {config.shared_blocks}, but an encoder has only "
            f"{config.blocks} residual blocks; give at most config.blocks."
        )
    if config.samples < 1 or (config.image_batch is not None and config.image_batch < 1):
        raise ConfigError(
            f"config.samples is {config.samples} and config.image_batch {config.image_batch}; "
            "give 1 or more of each, or leave them out."
        )
    if config.feature_iterations < 1 or config.joint_iterations < 0 or config.image_iterations < 1:
        raise ConfigError(
            f"config.image_iterations is {config.image_iterations}, config.feature_iterations "
            f"{config.feature_iterations} and config.joint_iterations {config.joint_iterations}; "
            "give 1 or more of the first two and 0 or more of the third."
        )
    if not config.has_image_level:
        return
    step = SHRINK * config.image_shrink
    # The 7x7 convolutions reflect 3 pixels; a code must still have a pixel to reflect.
    smallest = config.image_shrink * max(
        2 * SHRINK, 2 ** (config.critic_layers + config.critic_scales - 1)
    )
    if height % step or width % step or min(height, width) < smallest:
        raise ConfigError(
            f"D2RL cannot take images of {height} x {width} pixels: with image_shrink "
            f"{config.image_shrink}, {config.critic_layers} critic layers and "
            f"{config.critic_scales} critic scales both sides must be multiples of {step} from "
            f"{smallest} on; change data.height, data.width or these three."
        )


def image_optimizer(config: D2RLConfig, networks: Iterable[nn.Module]) -> Scheduled:
    """Adam of the generators or the critics."""
    parameters = [p for network in networks for p in network.parameters()]
    optimizer = torch.optim.Adam(
        parameters, lr=config.image_lr, betas=(0.5, 0.999), weight_decay=config.image_weight_decay
    )
    return Scheduled(optimizer=optimizer, factor=partial(_image_factor, config))


def feature_optimizer(config: D2RLConfig, backbone: nn.Module, new: nn.Module) -> Scheduled:
    """Of the feature level: the ResNet, and what is new behind it."""
    groups = [
        {"params": list(backbone.parameters()), "lr": config.lr * config.backbone_lr_factor},
        {"params": list(new.parameters()), "lr": config.lr},
    ]
    optimizer: torch.optim.Optimizer
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            groups, lr=config.lr, momentum=0.9, weight_decay=config.weight_decay, nesterov=True
        )
    else:
        optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
    return Scheduled(optimizer=optimizer, factor=partial(_feature_factor, config))


def _image_factor(config: D2RLConfig, progress: Progress) -> float:
    if progress.stage == JOINT:
        return config.joint_lr_factor
    return float(0.5 ** sum(progress.iteration >= step for step in config.image_lr_steps))


def _feature_factor(config: D2RLConfig, progress: Progress) -> float:
    done = progress.iteration + (config.feature_iterations if progress.stage == JOINT else 0)
    warm = min(1.0, (done + 1) / config.warmup_iterations) if config.warmup_iterations else 1.0
    if config.schedule == "step":
        return warm * float(0.1 ** sum(done >= step for step in config.lr_steps))
    whole = max(1, config.feature_iterations + config.joint_iterations)
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, done / whole)))
