"""AGW and CAJ (Ye et al.), and the AGW of the LLCM repository: one network class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from crosslight.released.contract import Piece, Settings, System, Weights
from crosslight.released.rules import NORM, Table

_BASE = r"base_resnet\.base\."
_SHARED = "backbone.shared."
_BIAS = ".out.bias"
"""Of what stands before a batch norm; see `_without_bias`."""


def _non_local() -> dict[str, str]:
    """Blocks stand behind the last 2 blocks of layer 2 and the last 3 of layer 3."""
    kept: dict[str, str] = {}
    for layer, found, place in (("2", r"([01])", "{1*2+3}"), ("3", r"([0-2])", "{1*2+4}")):
        original, here = rf"NL_{layer}\.{found}", f"{_SHARED}layer{layer}.{place}"
        kept |= {
            rf"{original}\.(theta|phi)\.(weight|bias)": f"{here}.{{2}}.{{3}}",
            rf"{original}\.g\.0\.(weight|bias)": f"{here}.g.{{2}}",
            rf"{original}\.W\.0\.(weight|bias)": f"{here}.out.{{2}}",
            rf"{original}\.W\.1\.({NORM})": f"{here}.norm.{{2}}",
        }
    return kept


_TABLE = Table(
    kept={
        r"visible_module\.visible\.((?:conv1|bn1)\..+)": "backbone.stems.0.{1}",
        r"thermal_module\.thermal\.((?:conv1|bn1)\..+)": "backbone.stems.1.{1}",
        _BASE + r"(layer[14]\..+)": _SHARED + "{1}",
        # The residual blocks make room for the non-local ones between them.
        _BASE + r"layer2\.([0-2])\.(.+)": _SHARED + "layer2.{1}.{2}",
        _BASE + r"layer2\.(3)\.(.+)": _SHARED + "layer2.{1+1}.{2}",
        _BASE + r"layer3\.([0-3])\.(.+)": _SHARED + "layer3.{1}.{2}",
        _BASE + r"layer3\.([45])\.(.+)": _SHARED + "layer3.{1*2-3}.{2}",
        **_non_local(),
        rf"bottleneck\.({NORM})": "head.neck.{1}",
        r"classifier\.weight": "head.classifier.weight",
    },
    left_out={
        r"(?:visible_module\.visible|thermal_module\.thermal)\.layer[1-4]\..+": (
            "layers of the two stems' networks, which the forward pass does not reach"
        ),
        _BASE + r"(?:conv1|bn1)\..+": (
            "the shared network's own stem, which the forward pass does not reach"
        ),
    },
)


def _without_bias(weights: dict[str, Tensor]) -> None:
    """A bias before a batch norm only moves its mean: exact in training too."""
    for name in [name for name in weights if name.endswith(_BIAS)]:
        mean = f"{name.removesuffix(_BIAS)}.norm.running_mean"
        bias = weights.pop(name)
        if mean in weights:
            weights[mean] = weights[mean] - bias


def _settings(weights: Weights) -> Settings:
    inner = weights.get(f"{_SHARED}layer2.3.theta.weight")
    return {} if inner is None else {"config.non_local_width": len(inner)}


def _system(about: str, recipes: Mapping[int, str], **more: Any) -> System:
    piece = Piece(name="NAME_best.t", holds="the network", tables={"": _TABLE})
    return System(
        method="agw",
        about=about,
        pieces=(piece,),
        recipes=recipes,
        settings=_settings,
        people="head.classifier.weight",
        constants=(r"normalize\.(?:mean|std)", r"pool\.p"),
        finish=_without_bias,
        **more,
    )


AGW = _system(
    "AGW (Ye et al., TPAMI 2021), also that of LLCM",
    {395: "agw-sysu-mm01", 206: "agw-regdb", 713: "agw-llcm"},
)
CAJ = _system(
    "CAJ (Ye et al., ICCV 2021)",
    {395: "caj-sysu-mm01", 206: "caj-regdb"},
    flags=" --flip --unit-views",
)
