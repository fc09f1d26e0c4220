"""What a CASE-Net recipe may set, its presets, and the switches of an ablation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from crosslight.errors import ConfigError
from crosslight.methods.beginning import Digest, MaybeNetwork, Network, Weights
from crosslight.methods.dgnet.config import DrawingConfig, refuse_size
from crosslight.methods.scaling import Iterations, MaybeIterations, Steps
from crosslight.methods.structure_id.body import BodyName
from crosslight.ranges import Few, Range, Width

CODE_STRIDE = 16
"""Of a ResNet whose last layer keeps its stride."""


@dataclass(frozen=True, kw_only=True)
class CaseNetConfig(DrawingConfig):
    """What a recipe may set under `config`; the rest is at `DrawingConfig`.

    The backbone is the colour encoder's. "Code" is the authors' release, which trains on visible
    images alone; "here" what it leaves open or cannot do. `identity_lr` moves the colour encoder
    with its classifier and the structure body, `identity_head_lr` the shape's classifier.

    Attributes:
        shape_encoder: `resnet`, and its code is its last map; `aspp`: DG-Net's structure encoder,
            seeing three channels; `aspp+body`: a body of the study's makes a vector of that code.
            The mean of an `aspp` code is 0 in every image, so that no identity loss can reach it:
            the release, which never learnt who somebody is.
        shape_backbone: The ResNet of `resnet`; its last stride is 1.
        shape_weights: Its weights: `timm`, `none`, `promenade` or the path of a file.
        shape_sha256: Digest that the file must have.
        structure_body: Of `aspp+body`; see `StructureBody`.
        body_network: Another ResNet in its place; None: the one that its name says.
        body_weights: Of that ResNet: `timm`, `none` or the path of a file.
        shape_identity: Whether the shape's classifier learns from gray (and infrared) images
            alone, or from visible images in colour too.
        colour_identity: Whether the colour encoder learns who somebody is, and judges generated
            images. False, with `detach_colour`, leaves it as it starts.
        detach_colour: Cut the colour code off, so that nothing that is drawn trains its encoder.
        exchange: Which images exchange codes: `as-sampled` the halves of a batch, turned until
            different people meet; `coin`, for batches of P people x K images in each light: in
            each iteration either images in different light, or in the same, of different people.
        embed_gray: Visible images are matched in gray, as the infrared ones are.
        normalisation: `half`: mean and deviation .5; `backbone`: what the colour encoder's weights
            were trained with.
        domain_width: Channels of the domain critic's first layer.
        domain_lr: SGD's, for the domain critic.
        adversary_weight: Of the domain critic's verdicts; the shape encoder's gradient from them
            is reversed.
        triplet_weight: Of both triplet losses.
        identity_iterations: Length of a first stage in which nothing is drawn; 0: none.
    """

    # Backbone and its weights: code.
    last_stride: Few = 2  # code
    shape_encoder: Literal["resnet", "aspp", "aspp+body"] = "resnet"  # here; code: aspp
    shape_backbone: Network = "resnet34.tv_in1k"  # code: a branch that is commented out
    shape_weights: Weights = "timm"  # here
    shape_sha256: Digest = None
    structure_body: BodyName = "shallow+resnet18"  # here
    body_network: MaybeNetwork = None
    body_weights: Weights = "timm"
    shape_identity: Literal["gray", "gray+colour"] = "gray+colour"  # here; code: gray
    colour_identity: bool = True  # code
    detach_colour: bool = True  # code
    exchange: Literal["as-sampled", "coin"] = "as-sampled"  # code
    embed_gray: bool = True  # here: the release cannot test
    normalisation: Literal["half", "backbone"] = "half"  # code
    domain_width: Width = 256  # code
    domain_lr: float = 5e-4  # code
    adversary_weight: float = 1.0  # code
    triplet_weight: float = 1.0  # code
    identity_iterations: Iterations = 0  # code: no such stage
    iterations: Annotated[Iterations, Range(1)] = 250_000  # code
    lr_steps: Steps = (150_000, 225_000)  # here, DG-Net's parts of the whole; code: none


@dataclass(frozen=True, kw_only=True)
class CaseNetReleasedConfig(CaseNetConfig):
    """As the authors' code runs; every field is explained at `CaseNetConfig`."""

    shape_encoder: Literal["resnet", "aspp", "aspp+body"] = "aspp"
    shape_identity: Literal["gray", "gray+colour"] = "gray"
    # Tested for before they grow, and reset in every iteration: never above 0.
    ramp_start: MaybeIterations = None
    lr_steps: Steps = ()


@dataclass(frozen=True, kw_only=True)
class CaseNetAsppConfig(CaseNetConfig):
    """The code's shape encoder, and a body behind it; every field is at `CaseNetConfig`."""

    shape_encoder: Literal["resnet", "aspp", "aspp+body"] = "aspp+body"


PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "released": {
            "config.shape_encoder": "aspp",
            "config.shape_identity": "gray",
            "config.ramp_start": None,
            "config.lr_steps": [],
        },
        "aspp": {"config.shape_encoder": "aspp+body"},
    }
)
"""What makes `case-net-released` and `case-net-aspp` of a recipe of `case-net`."""

SWITCHES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        **PRESETS,
        "without-adversary": {"config.adversary_weight": 0.0},
        "without-triplet": {"config.triplet_weight": 0.0},
        "without-generator": {
            "config.recon_weight": 0.0,
            "config.adversarial_weight": 0.0,
            "config.generated_id_weight": 0.0,
            "config.ramp_start": None,
        },
        "without-colour-identity": {"config.colour_identity": False},
        "attached-colour": {"config.detach_colour": False},
        "without-ramps": {"config.ramp_start": None},
        "gray-identity": {"config.shape_identity": "gray"},
        "embed-colour": {"config.embed_gray": False},
        "pooled-aspp": {"config.shape_encoder": "aspp"},
    }
)


def refuse_contradictions(config: CaseNetConfig, height: int, width: int) -> None:
    """Checks that the fields fit each other and the size of the images.

    Raises:
        ConfigError: They do not.
    """
    if config.shape_encoder == "resnet":
        smallest = max(2 * CODE_STRIDE, 2 ** (config.critic_scales + 2))
        if height % CODE_STRIDE or width % CODE_STRIDE or min(height, width) < smallest:
            raise ConfigError(
                f"CASE-Net cannot take images of {height} x {width} pixels: with "
                f"{config.critic_scales} critic scales both sides must be multiples of "
                f"{CODE_STRIDE} from {smallest} on; change data.height, data.width or "
                "config.critic_scales."
            )
    else:
        refuse_size(config, height, width, who="CASE-Net")
    if not config.colour_identity and config.detach_colour and config.weights == "none":
        raise ConfigError(
            "config.colour_identity is false and config.detach_colour true, so nothing trains the "
            "colour encoder, and config.weights is none, so it starts from noise; set "
            "config.detach_colour to false, or give it weights."
        )
