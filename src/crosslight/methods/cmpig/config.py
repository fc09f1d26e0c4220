"""What a cmPIG recipe may set, and how its learning rates move."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from torch import nn

from crosslight.errors import ConfigError
from crosslight.methods.backbone_config import BackboneConfig
from crosslight.methods.contract import Progress, Scheduled, constant
from crosslight.methods.optimization import ScheduleName
from crosslight.methods.scaling import EpochCount, Epochs, EpochSteps
from crosslight.nn.pooling import PoolingName
from crosslight.ranges import Count, Few, Positive, Range, Share, Width

WARM_UP, JOINT = "warm-up", "joint"
TRAIN_GENERATOR = "train"
CONTENT_STRIDE = 4
"""Height and width of an image over those of its content code."""


@dataclass(frozen=True, kw_only=True)
class CmPIGConfig(BackboneConfig):
    """What a recipe may set under `config`.

    "Paper" is Wang et al., AAAI 2020, "release" the authors' code, JSIA-ReID. The backbone is cut
    in two: stem and first layer are the content encoder E_i and the set level, the other layers I
    the instance level. Its fields are at `BackboneConfig`.

    Attributes:
        stem_relu: Whether the stem keeps its last activation; the release lacks it.
        gray_content: Whether E_i sees the luma of the normalised image in three equal channels.
        share_content: Whether the set level is the content encoder itself, which the generator
            trains too: set-level alignment. If not, it is a copy that starts alike.
        pooling: How the feature map becomes a vector.
        gem_p: Exponent of `gem`.
        parts: Horizontal stripes that are pooled apart and concatenated.
        style_width: Channels of a style encoder's first convolution; its last ones have 4 times
            as many.
        style_dim: Length of a style code.
        style_halvings: Strided convolutions of a style encoder; the paper has 2.
        adain_width: Hidden width of the MLP from a style to the decoder's scales and shifts.
        blocks: Residual blocks of a decoder; the paper has 4.
        doublings: Of a decoder's map; images are generated at 2^doublings / 4 of the image size.
            The paper has 2.
        critic_width: Channels of a critic's first convolution.
        critic_layers: Halvings in a critic.
        critic_scales: Image sizes that a critic looks at.
        gan_ids: How many people of a batch the generator sees.
        gan_per_light: How many images of each of them in each light, paired at random.
        recon_weight: Of an image drawn of its own two codes; equation 11 has no such weight.
        cycle_weight: Of an image drawn there and back.
        cycle_style: Whose style the way back has: the real image's, or that of the fake, encoded.
        gan_weight: Of the critics' verdict.
        feature_weight: Of the reconstruction of both codes, which the paper lacks.
        align: Instance-level alignment: the divergence of what is said of a fake from what is said
            of the real image whose content it has; `forward` takes only that of the fake
            from the real.
        align_weight: Of it; 0 leaves set-level alignment alone.
        joint_gan_reaches_content: Whether reconstruction, cycle and critics train E_i too, in the
            joint stage.
        generator_statistics: Whether the running statistics of the ResNet, which matching uses,
            follow the generator's images, real and drawn, as those of the others; `left`: never.
        feature_gan_weight: Aligns the set level in place of the generator, by critics of its
            maps: the paper's comparison. Needs `share_content: false`.
        id_weight: Of the identity loss.
        label_smoothing: Of the identity loss.
        triplet_weight: Of the triplet loss.
        margin: Of the triplet loss.
        generator_weights: `train` trains the generator first, in the warm-up; a path (the weights
            of a run of this method) skips that stage.
        generator_sha256: Digest that the file must have.
        warmup_epochs: Length of the warm-up, which trains the generator alone.
        joint_epochs: Length of the stage that trains everything.
        lr: Adam's, for the ResNet and the head.
        weight_decay: Their L2 penalty.
        gan_lr: Adam's, for generator and critics.
        gan_weight_decay: Their L2 penalty.
        schedule: Of all rates in the joint stage: a tenth from each of `step_epochs` on, or a
            cosine to 0.
        step_epochs: See `schedule`; counted from 0 in the joint stage.
    """

    # Backbone, its weights and last stride: release.
    stem_relu: bool = False  # release
    gray_content: bool = True  # release
    share_content: bool = True  # paper
    pooling: PoolingName = "avg"  # release
    gem_p: Positive = 3.0
    parts: Width = 1  # release
    style_width: Width = 32  # release
    style_dim: Width = 128  # release
    style_halvings: Few = 4  # release
    adain_width: Width = 256  # release
    blocks: Few = 2  # release
    doublings: Annotated[int, Range(0, 2)] = 1  # release
    critic_width: Width = 32  # release
    critic_layers: Few = 4  # release
    critic_scales: Few = 2  # release
    gan_ids: Count = 3  # release
    gan_per_light: Count = 3  # release
    recon_weight: float = 10.0  # release
    cycle_weight: float = 10.0  # release
    cycle_style: Literal["real", "fake"] = "real"  # release; paper: fake
    gan_weight: float = 1.0  # release
    feature_weight: float = 1.0  # release
    align: Literal["symmetric", "forward", "none"] = "symmetric"  # release; paper: forward
    align_weight: float = 0.01  # release
    joint_gan_reaches_content: bool = True  # release
    generator_statistics: Literal["followed", "left"] = "followed"  # release
    feature_gan_weight: float = 0.0  # paper: 0 but in its comparison
    id_weight: float = 1.0  # release
    label_smoothing: Share = 0.1  # release
    triplet_weight: float = 1.0  # release
    margin: float = 0.3  # release
    generator_weights: str = TRAIN_GENERATOR
    generator_sha256: str | None = None
    warmup_epochs: Epochs = 100  # paper; release 600, of 200 iterations
    joint_epochs: EpochCount = 50  # release
    lr: float = 4.5e-4  # release; paper 2e-4 for all
    weight_decay: float = 5e-4  # release
    gan_lr: float = 1e-4  # release
    gan_weight_decay: float = 1e-4  # release
    schedule: ScheduleName = "step"  # release
    step_epochs: EpochSteps = (30,)  # release

    @property
    def gan_shrink(self) -> int:
        """How many times smaller generated images are."""
        return CONTENT_STRIDE // (1 << self.doublings)

    @property
    def content_learns(self) -> bool:
        """Whether anything trains the content encoder."""
        return self.share_content or self.joint_gan_reaches_content


def refuse_contradictions(config: CmPIGConfig, height: int, width: int) -> None:
    """Checks that the fields fit each other and the size of the images.

    Raises:
        ConfigError: They do not.
    """
    if config.feature_gan_weight and config.share_content:
        raise ConfigError(
            f"config.feature_gan_weight is {config.feature_gan_weight:g}, but config.share_content "
            "is true: critics of maps are there in place of a shared encoder; set "
            "config.share_content to false or config.feature_gan_weight to 0."
        )
    halvings = max(config.style_halvings, config.critic_layers + config.critic_scales - 1)
    smallest = config.gan_shrink * max(4, 2**halvings)  # the 7x7 convolutions reflect 3 pixels
    if config.feature_gan_weight:
        smallest = max(smallest, CONTENT_STRIDE * 2**config.critic_layers)
    if height % CONTENT_STRIDE or width % CONTENT_STRIDE or min(height, width) < smallest:
        raise ConfigError(
            f"cmPIG cannot take images of {height} x {width} pixels: with {config.doublings} "
            f"doublings, {config.style_halvings} style halvings, {config.critic_layers} critic "
            f"layers and {config.critic_scales} critic scales both sides must be multiples of "
            f"{CONTENT_STRIDE} from {smallest} on; change data.height, data.width or these four."
        )


def generator_optimizer(config: CmPIGConfig, networks: Iterable[nn.Module]) -> Scheduled:
    """Adam of what draws, or of what judges it."""
    return _adam(networks, config.gan_lr, (0.5, 0.999), config.gan_weight_decay, _factor(config))


def identity_optimizer(config: CmPIGConfig, networks: Iterable[nn.Module]) -> Scheduled:
    """Adam of what tells people apart."""
    return _adam(networks, config.lr, (0.9, 0.999), config.weight_decay, _factor(config))


def _adam(
    networks: Iterable[nn.Module],
    lr: float,
    betas: tuple[float, float],
    weight_decay: float,
    factor: Callable[[Progress], float],
) -> Scheduled:
    parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=lr, betas=betas, weight_decay=weight_decay)
    return Scheduled(optimizer=optimizer, factor=factor)


def _factor(config: CmPIGConfig) -> Callable[[Progress], float]:
    return partial(_joint_factor, config)


def _joint_factor(config: CmPIGConfig, progress: Progress) -> float:
    if progress.stage != JOINT:
        return constant(progress)
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress.fraction))
    epoch = math.floor(progress.epoch)
    return float(0.1 ** sum(epoch >= step for step in config.step_epochs))
