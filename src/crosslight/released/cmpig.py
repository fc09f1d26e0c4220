"""JSIA-ReID (wangguanan), which is cmPIG: two generators around one ResNet, and two critics."""

from __future__ import annotations

from torch import Tensor

from crosslight.released.contract import (
    Piece,
    Settings,
    System,
    Weights,
    count_of,
    critic_scales,
    widths,
)
from crosslight.released.rules import NORM, UNREAD_STATISTICS, Table


def _generator(light: int) -> Table:
    style, adain, decoder = (
        f"translator.{name}.networks.{light}" for name in ("styles", "adain", "decoders")
    )
    first, last = (rf"mod_invar_enc\.resnet_conv{n}" for n in (1, 2))
    return Table(
        kept={
            # Both generators hold the same ResNet.
            rf"{first}\.0\.(.+)": "content.conv1.{1}",
            rf"{first}\.1\.({NORM})": "content.bn1.{1}",
            rf"{first}\.3\.(.+)": "content.layer1.{1}",
            rf"{last}\.([0-2])\.(.+)": "instance.layer{1+2}.{2}",
            rf"mod_invar_enc\.classifier\.bn\.({NORM})": "head.neck.{1}",
            r"mod_invar_enc\.classifier\.classifier\.weight": "head.classifier.weight",
            r"mod_spec_enc\.model\.([0-4])\.conv\.(weight|bias)": (
                f"{style}.layers.{{1}}.conv.{{2}}"
            ),
            r"mod_spec_enc\.model\.6\.(weight|bias)": f"{style}.out.{{1}}",
            r"mlp\.model\.([0-2])\.fc\.(weight|bias)": f"{adain}.layers.{{1*2}}.{{2}}",
            r"dec\.model\.0\.model\.(\d+)\.model\.0\.conv\.(weight|bias)": (
                f"{decoder}.blocks.{{1}}.first.{{2}}"
            ),
            r"dec\.model\.0\.model\.(\d+)\.model\.1\.conv\.(weight|bias)": (
                f"{decoder}.blocks.{{1}}.second.{{2}}"
            ),
            r"dec\.model\.2\.conv\.(weight|bias)": f"{decoder}.up.0.conv.{{1}}",
            r"dec\.model\.2\.norm\.gamma": f"{decoder}.up.1.scale",
            r"dec\.model\.2\.norm\.beta": f"{decoder}.up.1.shift",
            r"dec\.model\.3\.conv\.(weight|bias)": f"{decoder}.out.conv.{{1}}",
        },
        left_out={
            r"mod_spec_enc\.classifier\.(?:weight|bias)": (
                "a classifier of styles, which no loss has"
            ),
            r"dec\.model\.0\.model\.\d+\.model\.[01]\.norm\.running_(?:mean|var)": (
                UNREAD_STATISTICS
            ),
        },
    )


def _critic(light: int) -> Table:
    critic = f"translator.critics.{light}.critics"
    return Table(
        kept={
            r"cnns\.(\d)\.([0-3])\.conv\.(weight|bias)": f"{critic}.{{1}}.{{2}}.conv.{{3}}",
            r"cnns\.(\d)\.4\.(weight|bias)": f"{critic}.{{1}}.4.{{2}}",
        }
    )


def _flattened(weights: dict[str, Tensor]) -> None:
    """A 1x1 convolution of one pixel is a linear layer."""
    for light in range(2):
        name = f"translator.styles.networks.{light}.out.weight"
        if name in weights and weights[name].ndim == 4:
            weights[name] = weights[name].flatten(1)


def _settings(weights: Weights) -> Settings:
    named = {
        "config.style_width": "translator.styles.networks.0.layers.0.conv.weight",
        "config.style_dim": "translator.styles.networks.0.out.weight",
        "config.adain_width": "translator.adain.networks.0.layers.0.weight",
        "config.critic_width": "translator.critics.0.critics.0.0.conv.weight",
    }
    return {
        **widths(weights, named),
        "config.blocks": count_of(weights, "translator.decoders.networks.0.blocks."),
        **critic_scales(weights, "translator.critics.0.critics."),
    }


def _pieces() -> tuple[Piece, ...]:
    lights = ("visible", "infrared")
    generators = (
        Piece(
            name=f"model-{n}_NNN.pkl",
            holds=f"the {light} generator and the ResNet",
            tables={"": _generator(n)},
            called=f"model-{n}(?![0-9])",
        )
        for n, light in enumerate(lights)
    )
    critics = (
        Piece(
            name=f"model-{n + 2}_NNN.pkl",
            holds=f"the {light} critic",
            tables={"": _critic(n)},
            parts=(f"translator.critics.{n}.",),
            needed_for=("training further",),
            called=f"model-{n + 2}(?![0-9])",
        )
        for n, light in enumerate(lights)
    )
    return (*generators, *critics)


CMPIG = System(
    method="cmpig",
    about="JSIA-ReID, the code of cmPIG (Wang et al., AAAI 2020)",
    pieces=_pieces(),
    recipes={395: "cmpig-sysu-mm01", 206: "cmpig-regdb"},
    settings=_settings,
    people="head.classifier.weight",
    constants=(r"normalize\.(?:mean|std)",),
    finish=_flattened,
    absent={"translator.usual_style.": ("translating",)},
)
