"""What the recipes of `sdl` and `sdl-released` may set, and the ablations as switches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from crosslight.errors import ConfigError
from crosslight.methods.backbone_config import BackboneConfig
from crosslight.methods.optimization import Optimization, OptimizerName
from crosslight.methods.scaling import EpochCount, EpochSteps
from crosslight.nn.pooling import PoolingName
from crosslight.nn.two_stream import Streams
from crosslight.ranges import Dropout, Few, Positive, Width

Matched = Literal["embedding", "identity", "sum", "translated"]


@dataclass(frozen=True, kw_only=True)
class SDLConfig(BackboneConfig, Optimization):
    """What a recipe may set under `config`; the rest is at `Optimization` and `BackboneConfig`.

    "Code" is what the authors released, "figure" the paper's figure, "baseline" the two-stream
    network of Ye et al. (2019) that the code grew from; "ours" marks what none of them states, or
    states so that it has no effect.

    Attributes:
        streams: `whole` gives each light a backbone of its own, the two starting alike; `stem`
            only the first layers of a ResNet.
        pooling: How the feature map becomes a vector; the figure has `max`.
        gem_p: Exponent of `gem`.
        parts: Horizontal stripes that are pooled apart and concatenated.
        branching: `pooled`: x, u and v are four layers side by side on the pooled vector. `figure`:
            a layer of each light's own comes first; u and v see its values, x sees them behind
            ReLU and dropout.
        dim: Length of x, of u and of v.
        dropout: Probability that a value is dropped before a classifier.
        identity_weight: Of the identity loss on u; 0 turns it off, as for the others.
        distil: Which images v's layer of a light sees: those of its `own` light, or `all`.
        disentangle: How far x lies from u + v: `squared` length, mean over images; `released`: the
            Frobenius norm of the differences of the whole batch.
        disentangle_weight: Of that loss; the code has 1e-4 with `released`. 1 takes 15 points
            of u's mAP, see docs/methods/sdl.md; 0.1 was chosen on Promenade's validation people.
        dispeller: What keeps people out of v: `uniform`, cross-entropy with equal shares; `logits`,
            the norm of the logits less 1 / people, divided by people; or `none`.
        dispeller_weight: Of that loss.
        dispeller_moves_classifier: Whether it trains the classifier it is measured by, too.
        branches_lr_factor: Learning rate of u, v and their classifier over that of x.
        match_on: What `embed` gives: x (`embedding`), u (`identity`), the `sum` of u and the v of
            the image's own light, or `translated`, the sum of u and the visible v of any image.
    """

    # Backbone and its weights: code.
    streams: Streams = "whole"  # code, figure
    last_stride: Few = 2  # code
    pooling: PoolingName = "avg"  # code
    gem_p: Positive = 3.0
    parts: Width = 1
    branching: Literal["pooled", "figure"] = "pooled"  # code
    dim: Width = 512  # code
    dropout: Dropout = 0.0  # code
    identity_weight: float = 1.0  # code
    distil: Literal["own", "all"] = "own"  # figure
    disentangle: Literal["squared", "released"] = "squared"  # figure
    disentangle_weight: float = 0.1  # ours
    dispeller: Literal["uniform", "logits", "none"] = "uniform"  # ours
    dispeller_weight: float = 1.0  # ours
    dispeller_moves_classifier: bool = False  # ours
    branches_lr_factor: float = 1.0  # ours
    match_on: Matched = "identity"  # code
    epochs: EpochCount = 61  # baseline
    optimizer: OptimizerName = "sgd"  # code
    lr: float = 0.01  # code
    backbone_lr_factor: float = 0.1  # code
    weight_decay: float = 5e-4  # code
    step_epochs: EpochSteps = (30, 60)  # baseline


@dataclass(frozen=True, kw_only=True)
class SDLReleasedConfig(SDLConfig):
    """The released code as it ran; every field is explained at `SDLConfig`.

    Its dispeller had the weight and the target 1 / people in whole numbers, which is 0: none.
    """

    distil: Literal["own", "all"] = "all"
    disentangle: Literal["squared", "released"] = "released"
    disentangle_weight: float = 1e-4
    dispeller: Literal["uniform", "logits", "none"] = "none"
    dispeller_moves_classifier: bool = True
    branches_lr_factor: float = 0.1
    epochs: EpochCount = 301
    step_epochs: EpochSteps = ()


SWITCHES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "x-alone": {
            "config.identity_weight": 0.0,
            "config.disentangle_weight": 0.0,
            "config.dispeller": "none",
            "config.match_on": "embedding",
        },
        "no-dispeller": {"config.dispeller": "none"},
        "uniform-dispeller": {
            "config.dispeller": "uniform",
            "config.dispeller_moves_classifier": False,
        },
        # In whole numbers, as it ran, it is no-dispeller.
        "released-dispeller": {
            "config.dispeller": "logits",
            "config.dispeller_moves_classifier": True,
        },
        "dispeller-moves-classifier": {"config.dispeller_moves_classifier": True},
        "squared-norm": {"config.disentangle": "squared", "config.disentangle_weight": 0.1},
        "heavy-disentangle": {"config.disentangle_weight": 1.0},
        "released-norm": {"config.disentangle": "released", "config.disentangle_weight": 1e-4},
        "distil-own": {"config.distil": "own"},
        "distil-all": {"config.distil": "all"},
        "slow-branches": {"config.branches_lr_factor": 0.1},
        "max-pooling": {"config.pooling": "max"},
        "figure-branching": {"config.branching": "figure"},
        "match-x": {"config.match_on": "embedding"},
        "match-sum": {"config.match_on": "sum"},
        "match-translated": {"config.match_on": "translated"},
        # The code's black square of 20 x 20 pixels in 288 x 144.
        "square-erasing": {
            "data.augmentation.erasing": 1.0,
            "data.augmentation.erasing_area": (0.00964506, 0.00964506),
            "data.augmentation.erasing_aspect": (1.0, 1.0),
            "data.augmentation.erasing_value": (-2.1179, -2.0357, -1.8044),
        },
    }
)
"""The ablations: losses and branches, their forms, what is matched, and what is erased."""


def refuse_contradictions(config: SDLConfig) -> None:
    """Checks that what is matched is trained.

    Raises:
        ConfigError: It is not.
    """
    if config.match_on in ("sum", "translated") and not config.disentangle_weight:
        raise ConfigError(
            f"config.match_on is {config.match_on}, but config.disentangle_weight is 0, so nothing "
            "makes u + v resemble x; set it above 0, or config.match_on to identity."
        )
    if config.match_on == "identity" and not (config.identity_weight or config.disentangle_weight):
        raise ConfigError(
            "config.match_on is identity, but config.identity_weight and config.disentangle_weight "
            "are 0, so nothing trains u; set one above 0, or config.match_on to embedding."
        )
