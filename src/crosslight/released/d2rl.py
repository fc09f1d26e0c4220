"""UNIT (mingyuliutw, rewritten in 2018), which D2RL's image level is.

Its domain a is visible here, its domain b infrared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crosslight.errors import ConfigError
from crosslight.nn.conv_block import SLOPE
from crosslight.released.contract import Piece, Settings, System, Weights, critic_scales, widths
from crosslight.released.rules import Table

_LIGHTS = {"a": "v", "b": "i"}
_SLOPES = {"relu": 0.0, "lrelu": SLOPE}


def _generator(light: str) -> Table:
    encoder, decoder = (f"image_level.{name}_{light}.layers" for name in ("encoder", "decoder"))
    return Table(
        kept={
            r"enc\.model\.([0-2])\.conv\.(weight|bias)": f"{encoder}.{{1}}.conv.{{2}}",
            r"enc\.model\.3\.model\.([0-3])\.model\.0\.conv\.(weight|bias)": (
                f"{encoder}.{{1+3}}.first.conv.{{2}}"
            ),
            r"enc\.model\.3\.model\.([0-3])\.model\.1\.conv\.(weight|bias)": (
                f"{encoder}.{{1+3}}.second.conv.{{2}}"
            ),
            r"dec\.model\.0\.model\.([0-3])\.model\.0\.conv\.(weight|bias)": (
                f"{decoder}.{{1}}.first.conv.{{2}}"
            ),
            r"dec\.model\.0\.model\.([0-3])\.model\.1\.conv\.(weight|bias)": (
                f"{decoder}.{{1}}.second.conv.{{2}}"
            ),
            r"dec\.model\.(2|4)\.conv\.(weight|bias)": f"{decoder}.{{1+2}}.conv.{{2}}",
            r"dec\.model\.(2|4)\.norm\.gamma": f"{decoder}.{{1+3}}.scale",
            r"dec\.model\.(2|4)\.norm\.beta": f"{decoder}.{{1+3}}.shift",
            r"dec\.model\.5\.conv\.(weight|bias)": f"{decoder}.8.conv.{{1}}",
        },
        left_out={
            r"(?:enc|dec)\..+\.norm\.running_(?:mean|var)": (
                "statistics of instance norms, which PyTorch 0.3 kept and nothing has read since"
            ),
        },
    )


def _critic(light: str) -> Table:
    critic = f"image_level.critic_{light}.critics"
    return Table(
        kept={
            r"cnns\.([0-2])\.([0-3])\.conv\.(weight|bias)": f"{critic}.{{1}}.{{2}}.conv.{{3}}",
            r"cnns\.([0-2])\.4\.(weight|bias)": f"{critic}.{{1}}.4.{{2}}",
        }
    )


def _settings(weights: Weights) -> Settings:
    named = {
        "config.width": "image_level.encoder_v.layers.0.conv.weight",
        "config.critic_width": "image_level.critic_v.critics.0.0.conv.weight",
    }
    channels = weights["image_level.encoder_i.layers.0.conv.weight"].shape[1]
    return {
        "config.infrared_channels": channels,
        "config.slope": _SLOPES["relu"],
        **widths(weights, named),
        **critic_scales(weights, "image_level.critic_v.critics."),
    }


def _options(files: Sequence[Settings]) -> Settings:
    found: dict[str, Any] = {}
    for content in files:
        generator = content.get("gen")
        activation = generator.get("activ", "relu") if isinstance(generator, dict) else "relu"
        if activation not in _SLOPES:
            raise ConfigError(
                f"The training's YAML has gen.activ: {activation}, but the image level knows only "
                f"{' and '.join(_SLOPES)}; its weights would load and be wrong."
            )
        found["config.slope"] = _SLOPES[activation]
    return found


D2RL = System(
    method="d2rl",
    about="UNIT (Liu et al.; its code of 2018) as D2RL's image level",
    pieces=(
        Piece(
            name="gen_NNNNNNNN.pt",
            holds="the generators of both domains",
            tables={domain: _generator(light) for domain, light in _LIGHTS.items()},
        ),
        Piece(
            name="dis_NNNNNNNN.pt",
            holds="the critics of both domains",
            tables={domain: _critic(light) for domain, light in _LIGHTS.items()},
            parts=("image_level.critic_v.", "image_level.critic_i."),
            needed_for=("training further",),
        ),
    ),
    recipes={395: "d2rl-sysu-mm01"},
    settings=_settings,
    people=None,
    options=_options,
    absent={"feature_level.": ("embedding",)},
)
