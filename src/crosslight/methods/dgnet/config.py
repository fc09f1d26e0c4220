"""What a DG-Net recipe may set, its optimizers, and how its learning rates move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, Protocol

import torch
from torch import nn

from crosslight.errors import ConfigError
from crosslight.methods.backbone_config import BackboneConfig
from crosslight.methods.beginning import MaybeNetwork
from crosslight.methods.contract import Progress
from crosslight.methods.scaling import Iterations, MaybeIterations, PerIteration, Steps
from crosslight.ranges import Dropout, Few, Part, Range, Share, Width

TRAIN_TEACHER = "train"


@dataclass(frozen=True, kw_only=True)
class DrawingConfig(BackboneConfig):
    """What every method that draws from DG-Net's two codes can set; defaults as released.

    The backbone is the appearance encoder's; its fields are at `BackboneConfig`.

    "Paper" is Zheng et al., CVPR 2019, "release" the behaviour of the authors' code, which the
    paper's figures come from. Iterations count from 0 within their stage.

    Attributes:
        structure_width: Channels of the structure encoder's first convolution; eight times as
            many in its code and the decoder.
        dilations: Of the structure encoder's pyramid.
        adain_width: Hidden width of the MLPs from the appearance code to scales and shifts.
        critic_width: Channels of the critic's first convolution.
        critic_scales: Image sizes that the critic looks at.
        iterations: Length of the joint stage.
        lr: Adam's, for generator and critic.
        identity_lr: SGD's, for the appearance encoder's backbone.
        identity_head_lr: SGD's, for its two heads.
        lr_steps: Iterations at which all three learning rates fall to a tenth.
        weight_decay: L2 penalty of every network.
        recon_weight: Of both image reconstructions.
        id_weight: Of the identity losses on real images and their partners.
        generated_id_weight: Of the identity loss on generated images, which trains the generator.
        adversarial_weight: Of the critic's verdict.
        penalty_weight: Of the critic's gradient penalty on real images.
        ramp_start: Iteration after which the weights below grow; see `Ramp`. None: never.
        ramp_step: Growth per iteration.
        code_weight: Where the weights of both code reconstructions end.
        cycle_weight: Where the weight of the image cycle ends.
        code_slices: Which part of the appearance code colours a decoder block: a quarter of its
            channels with all stripes, as the release's memory layout has it, or a stripe.
        again_probability: How often structure codes of generated images train the encoder on
            fixed images; otherwise they train the images through a fixed encoder. The release
            flips a coin in each iteration.
    """

    # Backbone and its weights: paper 4.1; last stride: release.
    structure_width: Width = 16  # paper, table 6
    dilations: tuple[Few, Few, Few] = (3, 6, 9)  # release
    adain_width: Width = 512  # release
    critic_width: Width = 32  # paper, table 8
    critic_scales: Few = 3  # release
    iterations: Annotated[Iterations, Range(1)] = 100_000  # paper 4.1
    lr: float = 1e-4  # paper 4.1
    identity_lr: float = 0.002  # paper 4.1
    identity_head_lr: float = 0.02  # release
    lr_steps: Steps = (60_000, 90_000, 105_000)  # release
    weight_decay: float = 5e-4  # release
    recon_weight: float = 5.0  # paper 4.1: lambda_img
    id_weight: float = 1.0  # paper, equation 10
    generated_id_weight: float = 0.5  # paper 4.1: lambda_id
    adversarial_weight: float = 1.0  # paper, equation 10
    penalty_weight: float = 0.01  # release
    ramp_start: MaybeIterations = 30_000  # paper 4.1
    ramp_step: PerIteration = 0.0005  # paper 4.1: 0 to 2 over 4,000
    code_weight: float = 1.0  # release
    cycle_weight: float = 2.0  # release; absent from equation 10
    code_slices: Literal["channels", "stripes"] = "channels"  # release
    again_probability: Share = 0.5  # release


@dataclass(frozen=True, kw_only=True)
class GenerationConfig(DrawingConfig):
    """Two heads and erasing besides, of DG-Net and the study; the rest is at `DrawingConfig`.

    Attributes:
        dim: Length of the primary and of the fine-grained feature.
        primary_dropout: Before the primary classifier.
        fine_dropout: Before the fine-grained classifier.
        erasing: Probability that a rectangle of an image is erased for the identity losses on
            real images. Codes and reconstructions see whole images: leave the data's own erasing
            at 0.
        erasing_area: Smallest and largest erased part of the image area.
        fine_ratio: Weight of the fine-grained mining over that of the primary feature learning.
    """

    dim: Width = 512  # release
    primary_dropout: Dropout = 0.5  # release
    fine_dropout: Dropout = 0.75  # release
    erasing: Share = 0.5  # release
    erasing_area: tuple[Part, Part] = (0.02, 0.4)  # release
    fine_ratio: Share = 0.2  # paper 4.1: lambda_fine over lambda_prim


@dataclass(frozen=True, kw_only=True)
class DGNetConfig(GenerationConfig):
    """What a DG-Net recipe may set under `config`; the rest is at `GenerationConfig`.

    Attributes:
        teacher_weights: `train` trains the teacher as the first stage; a path (the weights of a
            run of this method, or of a teacher alone) skips that stage.
        teacher_sha256: Digest that the file must have.
        teacher_backbone: None: as `backbone`.
        teacher_dim: Length of the teacher's embedding.
        teacher_iterations: Length of the teacher's stage.
        teacher_lr: Of its head; the backbone has a tenth.
        teacher_lr_steps: Iterations at which its learning rate falls to a tenth.
        teacher_warmup: Iterations over which its loss grows from a tenth to the whole.
        teacher_floor: A teacher that names fewer of the training images right is warned about.
        primary_weight: Where the weight of the primary feature learning ends.
        fine_score: Weight of the fine-grained half in the matching score.
        different_ids: Pair images of different people only: the second half of a batch is turned
            until no image meets its own person, or as few as possible do. The release leaves the
            pairing to chance.
        appearance_code_gradient: Whether the reconstruction of the appearance code trains the
            generator. In the release both sides are cut off, so the paper's equation 4 is only
            logged.
        teacher_statistics: Whether the teacher's batch normalisation uses each batch, or what it
            has learnt.
        teacher_dropout: Whether the teacher's dropout draws while it teaches. In the release the
            first preview picture switches it on by mistake, and it stays on.
        start_from_teacher: Start the appearance encoder from the trained teacher's backbone in
            place of its own initial weights: for training without ImageNet weights.
        joint_statistics: Whether the appearance encoder's batch normalisation sees all images of
            a kind together. The release sends both halves of a batch, and their partners,
            through one by one.
    """

    teacher_weights: str = TRAIN_TEACHER
    teacher_sha256: str | None = None
    teacher_backbone: MaybeNetwork = None  # paper 4.1: the same
    teacher_dim: Width = 512  # the authors' baseline code
    teacher_iterations: Iterations = 24_300  # here: 60 epochs of Market-1501 in batches of 32
    teacher_lr: float = 0.05  # here: of batches of 32; the authors' baseline has .02 of 8
    teacher_lr_steps: Steps = (16_200,)  # the authors' baseline code: epoch 40
    teacher_warmup: Iterations = 2_000  # the authors' baseline code: 5 epochs
    teacher_floor: Share = 0.8
    primary_weight: float = 2.0  # paper 4.1: lambda_prim
    fine_score: float = 0.5  # paper 4.1: beta
    different_ids: bool = False  # release
    appearance_code_gradient: bool = False  # release
    teacher_statistics: Literal["batch", "running"] = "batch"  # release
    teacher_dropout: bool = True  # release
    start_from_teacher: bool = False  # paper 4.1: from ImageNet
    joint_statistics: bool = False  # release


def refuse_contradictions(config: DGNetConfig, height: int, width: int) -> None:
    """Checks that the backbones fit each other, and the size of the images.

    Raises:
        ConfigError: See `refuse_size`; or the teacher's backbone is to be taken over by another.
    """
    if config.start_from_teacher and config.teacher_backbone not in (None, config.backbone):
        raise ConfigError(
            f"config.start_from_teacher is set, but the teacher is a {config.teacher_backbone} and "
            f"the appearance encoder a {config.backbone}; leave teacher_backbone out."
        )
    refuse_size(config, height, width)


class Padded(Protocol):
    """What decides how small an image may be."""

    @property
    def dilations(self) -> tuple[int, ...]:
        """Of the structure encoder's pyramid."""
        ...

    @property
    def critic_scales(self) -> int:
        """Image sizes that the critic looks at."""
        ...


def refuse_size(config: Padded, height: int, width: int, *, who: str = "DG-Net") -> None:
    """Checks that every padding finds enough to reflect.

    Args:
        config: Dilations and critic scales.
        height: Of the images.
        width: Of the images.
        who: Takes them, for the sentence.

    Raises:
        ConfigError: The images are too small or no multiples of 4.
    """
    smallest = max(4 * (max(config.dilations) + 1), 2 ** (config.critic_scales + 2))
    if height % 4 or width % 4 or min(height, width) < smallest:
        raise ConfigError(
            f"{who} cannot take images of {height} x {width} pixels: with dilations "
            f"{config.dilations} and {config.critic_scales} critic scales both sides must be "
            f"multiples of 4 from {smallest} on; change data.height, data.width, config.dilations "
            "or config.critic_scales."
        )


def stepped(steps: tuple[int, ...]) -> Callable[[Progress], float]:
    """A learning rate that falls to a tenth at each step.

    The release steps its schedule before its optimizers, so an iteration has the rate of the
    next one.
    """
    return partial(_step_factor, steps)


def _step_factor(steps: tuple[int, ...], progress: Progress) -> float:
    return float(0.1 ** sum(progress.iteration + 1 >= step for step in steps))


def adam(config: DrawingConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Of the generator's networks or the critic."""
    return torch.optim.Adam(
        network.parameters(), lr=config.lr, betas=(0.0, 0.999), weight_decay=config.weight_decay
    )


def sgd(config: DrawingConfig, *parts: tuple[nn.Module, float]) -> torch.optim.Optimizer:
    """Of networks with a learning rate each."""
    groups = [{"params": list(network.parameters()), "lr": rate} for network, rate in parts]
    return torch.optim.SGD(groups, momentum=0.9, weight_decay=config.weight_decay, nesterov=True)
