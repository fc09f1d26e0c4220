"""What a Hi-CMD recipe may set, its optimizers, and how its learning rates move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, TypeAlias

import torch
from torch import nn

from crosslight.errors import ConfigError
from crosslight.methods.backbone_config import BackboneConfig
from crosslight.methods.beginning import MaybeNetwork
from crosslight.methods.contract import Progress
from crosslight.methods.dgnet.config import refuse_size
from crosslight.methods.identity_first import IDENTITY
from crosslight.methods.scaling import Iterations, Steps
from crosslight.ranges import Dropout, Few, Part, Range, Share, Width

RowName: TypeAlias = Literal[
    "drawn-visible",
    "drawn-infrared",
    "negative-visible",
    "negative-infrared",
    "mixed-visible",
    "mixed-infrared",
]


@dataclass(frozen=True, kw_only=True)
class HiCMDConfig(BackboneConfig):
    """What a recipe may set under `config`; the rest is at `BackboneConfig`.

    "Release" is the authors' code, which the published figures come from; the paper's text was
    not at hand. The backbone is that of the two attribute encoders, which start alike.

    Attributes:
        prototype_backbone: ResNet whose layers 2 and 3 make a vector of the prototype, from the
            same weights; None: as `backbone`.
        structure_width: Channels of the prototype encoders' first convolution; eight times as
            many in the prototype and the decoder.
        dilations: Of the prototype encoders' pyramid.
        adain_width: Hidden width of the MLPs from the attribute to scales and shifts.
        critic_width: Channels of the critics' first convolution.
        critic_scales: Image sizes that the critics look at.
        slope: Of the leaky ReLUs in prototype encoders, MLPs, decoder and critics.
        dim: Length of the embedding.
        triplet_dim: Length of the feature that the triplet loss sees.
        dropout: Before the classifier and before that feature.
        share: Part of the prototype in the matching vector, where its training starts; the style
            has the rest.
        learn_share: Whether that part is trained.
        pair_share: Part of a batch's people who are drawn in each other's light, by each image in
            one light with one in the other. Of the others half are negatives of the identity
            losses with their visible images, half with their infrared ones.
        self_style: Whose style an image is drawn with when it is reconstructed from its own
            prototype, pose and illumination: that of its `partner` in the other light, or its
            `own`.
        gray: Everything sees, and draws, images in gray.
        joint_statistics: Whether batch normalisation of the attribute encoders sees real images and
            negatives of a light together, each once. In the release reals, what is drawn and
            negatives go through one after the other, and the reals once more for the critics.
        flip_test: Match by the sum of the embeddings of image and mirror image. The release
            computes the mirror image and leaves it unused.
        identity_iterations: Length of a first stage with the identity losses alone, on all images
            of the batch, for training without ImageNet weights; 0: none.
        iterations: Length of the joint stage.
        lr: Adam's, for encoders, MLPs, decoder and critics.
        identity_lr: SGD's, for the prototype's layers and the head.
        share_lr: SGD's, for `share`.
        lr_steps: Iterations of the joint stage at which all learning rates are halved.
        weight_decay: L2 penalty of every network.
        erasing: Probability that a rectangle of an image, real or drawn, is erased for the identity
            losses. Everything else sees whole images: leave the data's own erasing at 0.
        erasing_area: Smallest and largest erased part of the image area.
        self_weight: Of the reconstruction from the image's own prototype; 0 leaves a loss out,
            here and below.
        cross_weight: Of that from the partner's prototype and style.
        cycle_weight: Of that from what is read from an image drawn with the partner's.
        code_weight: Of the attribute read from such an image.
        excluded_weight: Of the square of pose and illumination codes.
        adversarial_weight: Of the critics' verdict on images drawn with the partner's prototype
            and style, and of the critics' own loss about them.
        illumination_weight: The same of images of which only the illumination stays.
        penalty_weight: Of the critics' gradient penalty on real images, within both.
        id_weight: Of the identity loss.
        triplet_weight: Of the triplet losses.
        margin: By which the similarity to an image's own person shall be larger.
        without_rows: Rows that the identity losses leave out: `drawn`, images drawn with the
            partner's prototype and style; `mixed`, the prototype of one of drawn and real image
            with the style of the other; `negative`, people who are in no pair.
    """

    # Backbone and its weights: release.
    last_stride: Few = 2  # release
    prototype_backbone: MaybeNetwork = None  # release: the same
    structure_width: Width = 32  # release
    dilations: tuple[Few, Few, Few] = (3, 6, 9)  # release
    adain_width: Width = 512  # release
    critic_width: Width = 32  # release
    critic_scales: Few = 3  # release
    slope: Share = 0.3  # release
    dim: Width = 2048  # release
    triplet_dim: Width = 1024  # release
    dropout: Dropout = 0.5  # release
    share: Share = 0.5  # release
    learn_share: bool = True  # release
    pair_share: Part = 1 / 3  # release: 2 of 6 people
    self_style: Literal["partner", "own"] = "partner"  # release
    gray: bool = False  # release
    joint_statistics: bool = False  # release
    flip_test: bool = False  # release, in effect
    identity_iterations: Iterations = 0  # release
    iterations: Annotated[Iterations, Range(1)] = 200_000  # release; RegDB 100,000
    lr: float = 1e-4  # release
    identity_lr: float = 1e-3  # release
    share_lr: float = 1e-5  # release
    lr_steps: Steps = (50_000, 100_000, 150_000)  # release; RegDB 25,000 ...
    weight_decay: float = 1e-4  # release
    erasing: Share = 0.5  # release
    erasing_area: tuple[Part, Part] = (0.02, 0.4)  # release
    self_weight: float = 50.0  # release
    cross_weight: float = 50.0  # release
    cycle_weight: float = 50.0  # release
    code_weight: float = 10.0  # release
    excluded_weight: float = 1.0  # release
    adversarial_weight: float = 20.0  # release
    illumination_weight: float = 20.0  # release
    penalty_weight: float = 0.01  # release
    id_weight: float = 1.0  # release
    triplet_weight: float = 1.0  # release
    margin: float = 0.5  # release
    without_rows: tuple[RowName, ...] = ()  # release


def refuse_contradictions(config: HiCMDConfig, height: int, width: int) -> None:
    """Checks that every padding finds enough to reflect, and that somebody is asked who it is.

    Raises:
        ConfigError: The images are too small or no multiples of 4; or there is no identity loss.
    """
    refuse_size(config, height, width, who="Hi-CMD")
    if not (config.id_weight or config.triplet_weight):
        raise ConfigError(
            "config.id_weight and config.triplet_weight are both 0, so nothing would learn who "
            "people are; set one of them above 0."
        )


def adam(config: HiCMDConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Of the networks that draw, or of the critics."""
    return torch.optim.Adam(
        network.parameters(), lr=config.lr, betas=(0.5, 0.999), weight_decay=config.weight_decay
    )


def sgd(
    config: HiCMDConfig, network: nn.Module, share: nn.Parameter | None
) -> torch.optim.Optimizer:
    """Of what only the identity losses train."""
    groups = [{"params": list(network.parameters()), "lr": config.identity_lr}]
    if share is not None:
        groups.append({"params": [share], "lr": config.share_lr})
    return torch.optim.SGD(groups, momentum=0.9, weight_decay=config.weight_decay, nesterov=True)


def halving(config: HiCMDConfig) -> Callable[[Progress], float]:
    """The part of each learning rate that is left."""
    return partial(_halved, config.lr_steps)


def _halved(steps: tuple[int, ...], progress: Progress) -> float:
    if progress.stage == IDENTITY:
        return 1.0
    return float(0.5 ** sum(progress.iteration >= step for step in steps))
