"""What the recipes of `proposed-2020` and `structure-id` may set, and the switches between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

import torch
from torch import nn

from crosslight.errors import ConfigError
from crosslight.methods.beginning import MaybeNetwork, Weights
from crosslight.methods.dgnet.config import GenerationConfig, refuse_size, sgd
from crosslight.methods.dgnet.networks import StructureSource
from crosslight.methods.scaling import Iterations
from crosslight.methods.structure_id.body import BodyName
from crosslight.ranges import Range, Share


@dataclass(frozen=True, kw_only=True)
class Proposed2020Config(GenerationConfig):
    """Identity from the structure code as its author ran it; the rest is at `GenerationConfig`.

    "Run" is the author's run whose scores the slides print. `identity_lr` and
    `identity_head_lr` belong to an identity optimizer of its own (`identity_optimizer`); the
    identity losses' erasing applies to both encoders.

    Attributes:
        identity_iterations: Length of a first stage with the identity losses alone, for training
            without ImageNet weights; 0: none.
        identity: Whose vector tells people apart: the structure code's, the appearance
            encoder's, or both side by side.
        structure_source: What the structure encoder sees.
        structure_body: What makes a vector of the structure code; see `StructureBody`.
        body_network: Another ResNet in its place; None: the one that its name says.
        body_weights: Of that ResNet: `timm`, `none` or the path of a file.
        initialisation: `overwritten`: the generator's random start is drawn for the identity
            network and its heads too, after their weights were loaded, so that only batch
            normalisation keeps what it had learnt (defect 1). `kept`: they keep theirs.
        appearance_encoder: `dgnet`: one stream, pooled by its largest values, two heads, and the
            losses above. `agw`: a stem for each light, generalised-mean pooling in two stripes,
            one BNNeck, and AGW's losses; an image whose light nobody tells, as when two are
            swapped, is infrared if it shows no colours. See `two_stream_appearance`.
        identity_gray: Probability that an image of the first stage is turned gray.
        squeezed: The identity network sees the code through three channels (defect 2).
        appearance_learns: Losses on generated images train the appearance encoder. Where False
            and identity does not come from it, nothing does; its batch statistics drift all the
            same (defect 3).
        exchange: Which images exchange codes: `as-sampled` those that the batch puts side by
            side; `coin`, for batches of P people x K images in each light: in each iteration
            either images in different light, or images in the same light, of different people.
        match_on: Whether triplet loss and matching take the classifiers' logits (defect 5) or
            the heads' embeddings.
        identity_optimizer: `generator`: identity network and heads move with the generator's
            Adam without momentum (defect 6); otherwise an optimizer of their own with
            `identity_lr`, and `identity_head_lr` for the heads.
        identity_schedule: Of that optimizer's rates. `steps`: constant in the first stage, then
            divided by ten where the generator's is; `cosine`: they fall to 0 over both stages
            together.
        generated_identity: Whom the identity losses on generated images train. `coin`: the coin of
            the structure code's second encoding (`again_probability`) decides, before the ramp
            too: either encoder, identity network and primary head, on fixed images, and the
            generator learns nothing (defect 7), or the images, through a copy that normalises
            by its running statistics. `generator`: always the images, through a copy that
            normalises by the batch's.
        joint_statistics: Whether batch normalisation sees all images of a kind together. `False`:
            the images of i, those of j and their partners go through one by one, and whole images
            move the statistics of identity network and heads beside the erased ones that these
            learn from (defect 8).
        ramps: `released`: a weight is tested before it grows, see `Ramp`; `plain`: after.
        scored_views: `mirrored`: matching takes the mirror image alone, because a loop overwrote
            the image itself; `both`: their sum.
        triplet_weight: Of the batch-hard triplet loss.
        margin: Of that loss; None is the soft margin. Logits are compared as they are,
            embeddings at length 1.
        label_smoothing: Of the identity losses on real images.
        fine_weight: Where the weight of the fine head's identity loss ends.
        attributes: Names of attributes to predict from the structure vector, such as
            `cut_bag!=none`; see `crosslight.data.attributes`.
        attributes_file: Table with a column `pid` and those of the attributes; an empty cell or
            an absent person is not counted.
        attribute_weight: Of the attributes' binary cross entropy.
        appearance_score: Weight of the appearance half in the matching score where identity
            comes from both.
    """

    identity_iterations: Iterations = 0  # run
    identity: Literal["structure", "appearance", "both"] = "structure"  # run
    structure_source: StructureSource = "gray"  # run
    structure_body: BodyName = "shallow+resnet18"  # run
    body_network: MaybeNetwork = None
    body_weights: Weights = "timm"  # run
    initialisation: Literal["overwritten", "kept"] = "overwritten"  # run
    appearance_encoder: Literal["dgnet", "agw"] = "dgnet"
    identity_gray: Share = 0.0
    squeezed: bool = True  # run
    appearance_learns: bool = False  # run
    exchange: Literal["as-sampled", "coin"] = "as-sampled"  # run
    match_on: Literal["logits", "embedding"] = "logits"  # run
    identity_optimizer: Literal["generator", "sgd", "adamw"] = "generator"  # run
    identity_schedule: Literal["steps", "cosine"] = "steps"
    generated_identity: Literal["coin", "generator"] = "coin"  # run
    joint_statistics: bool = False  # run
    ramps: Literal["released", "plain"] = "released"  # run
    scored_views: Literal["mirrored", "both"] = "mirrored"  # run
    triplet_weight: float = 1.0  # run
    margin: float | None = 2.0  # run
    label_smoothing: Share = 0.0  # run
    fine_weight: float = 0.4  # run
    attributes: tuple[str, ...] = ()
    attributes_file: str | None = None
    attribute_weight: float = 0.1
    appearance_score: float = 1.0
    iterations: Annotated[Iterations, Range(1)] = 150_000  # run; scored at 122,000


@dataclass(frozen=True, kw_only=True)
class StructureIdConfig(Proposed2020Config):
    """The defects repaired; every field is explained at `Proposed2020Config`."""

    identity: Literal["structure", "appearance", "both"] = "both"
    initialisation: Literal["overwritten", "kept"] = "kept"
    squeezed: bool = False
    appearance_learns: bool = True
    exchange: Literal["as-sampled", "coin"] = "coin"
    match_on: Literal["logits", "embedding"] = "embedding"
    identity_optimizer: Literal["generator", "sgd", "adamw"] = "sgd"
    generated_identity: Literal["coin", "generator"] = "generator"
    joint_statistics: bool = True
    ramps: Literal["released", "plain"] = "plain"
    scored_views: Literal["mirrored", "both"] = "both"
    margin: float | None = 0.3


REPAIRS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "kept-initialisation": {"config.initialisation": "kept"},
        "wide-body": {"config.squeezed": False},
        "appearance-learns": {"config.appearance_learns": True},
        # As many images as the study's batch of 16 pairs.
        "cross-modal-batches": {
            "config.exchange": "coin",
            "data.sampling": "cross-modal",
            "data.ids_per_batch": 8,
            "data.visible_per_id": 2,
            "data.infrared_per_id": 2,
        },
        "embedding-matching": {"config.match_on": "embedding", "config.margin": 0.3},
        "own-optimizer": {"config.identity_optimizer": "sgd"},
        "generator-learns": {"config.generated_identity": "generator"},
        "joint-statistics": {"config.joint_statistics": True},
        "plain-ramps": {"config.ramps": "plain"},
        "both-views": {"config.scored_views": "both"},
    }
)
"""The defects of `proposed-2020` repaired one by one, in the order of their numbers; the rest."""

FUTURE: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "own-adamw": {"config.identity_optimizer": "adamw"},
        "identity-from-structure": {"config.identity": "structure"},
        "identity-from-appearance": {"config.identity": "appearance"},
        "identity-from-both": {"config.identity": "both"},
        "shallow-body": {"config.structure_body": "shallow"},
        "resnet18-body": {"config.structure_body": "shallow+resnet18"},
        "resnet50-body": {"config.structure_body": "resnet50"},
        "gray": {"config.structure_source": "gray"},
        "edge": {"config.structure_source": "edge"},
        "gray+edge": {"config.structure_source": "gray+edge"},
        "agw-appearance": {
            "config.appearance_encoder": "agw",
            "config.identity_gray": 0.5,
            "config.label_smoothing": 0.1,
            "config.appearance_score": 8.0,
        },
    }
)
"""What the study left for later, an optimizer for small trainings, and AGW's appearance encoder."""


def refuse_contradictions(config: Proposed2020Config, height: int, width: int) -> None:
    """Checks that the fields fit each other and the size of the images.

    Raises:
        ConfigError: They do not.
    """
    refuse_size(config, height, width)
    if config.attributes and config.identity == "appearance":
        raise ConfigError(
            "config.attributes are predicted from the structure vector, but config.identity is "
            "appearance, which makes none; set it to structure or both."
        )
    if config.appearance_encoder == "agw" and config.identity == "structure":
        raise ConfigError(
            "config.appearance_encoder is agw, but config.identity is structure, which does not "
            "ask it; set it to appearance or both."
        )
    if config.appearance_encoder == "agw" and config.match_on == "logits":
        raise ConfigError(
            "config.appearance_encoder is agw, which is matched by its embedding; set "
            "config.match_on to embedding."
        )
    if config.identity_schedule == "cosine" and config.identity_optimizer == "generator":
        raise ConfigError(
            "config.identity_schedule is cosine, but identity moves with the generator's "
            "optimizer, whose rate falls in steps; set config.identity_optimizer to sgd or adamw."
        )
    if bool(config.attributes) != bool(config.attributes_file):
        raise ConfigError(
            f"config.attributes names {len(config.attributes)} attributes and "
            f"config.attributes_file is {config.attributes_file}; give both or none."
        )


def identity_optimizer(
    config: Proposed2020Config, trunks: nn.Module, heads: nn.Module
) -> torch.optim.Optimizer:
    """The optimizer that identity has of its own; heads have a rate of theirs."""
    if config.identity_optimizer == "sgd":
        return sgd(config, (trunks, config.identity_lr), (heads, config.identity_head_lr))
    groups = [
        {"params": list(trunks.parameters()), "lr": config.identity_lr},
        {"params": list(heads.parameters()), "lr": config.identity_head_lr},
    ]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)
