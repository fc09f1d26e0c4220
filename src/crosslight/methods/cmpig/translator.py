"""What draws each light in cmPIG, and who judges it.

Letters: B batch, R pairs, so 2R images: visible ones, then infrared ones of the same people in
the same order. Images are in [-1, 1] here.
"""

from __future__ import annotations

from torch import Tensor, nn

from crosslight.methods.cmpig.config import CmPIGConfig
from crosslight.methods.cmpig.networks import (
    Decoder,
    StyleEncoder,
    StyleParameters,
    UsualStyle,
)
from crosslight.nn.patch_critic import PatchCritic
from crosslight.nn.per_modality import PerModality
from crosslight.types import Modality


class Translator(nn.Module):
    """Style encoders, MLPs, decoders and critics, each of them once per light.

    Args:
        config: Their sizes.
        channels: C, of the content code.

    Attributes:
        styles: E_s.
        adain: What makes scales and shifts of a style.
        decoders: G.
        critics: D, by the number of the `Modality`.
        usual_style: What `translate` draws in.
    """

    def __init__(self, config: CmPIGConfig, channels: int) -> None:
        super().__init__()
        self.styles = PerModality(
            lambda: StyleEncoder(config.style_width, config.style_dim, config.style_halvings)
        )
        self.adain = PerModality(
            lambda: StyleParameters(
                config.style_dim,
                hidden=config.adain_width,
                blocks=config.blocks,
                channels=channels,
            )
        )
        self.decoders = PerModality(
            lambda: Decoder(channels, blocks=config.blocks, doublings=config.doublings)
        )
        self.critics = nn.ModuleList(
            PatchCritic(
                3,
                width=config.critic_width,
                layers=config.critic_layers,
                scales=config.critic_scales,
            )
            for _ in Modality
        )
        self.usual_style = UsualStyle(config.style_dim, len(Modality))

    @property
    def generator(self) -> tuple[nn.Module, ...]:
        """What the generator's optimizer moves."""
        return (self.styles, self.adain, self.decoders)

    def style(self, images: Tensor, modality: Tensor) -> Tensor:
        """(B, 3, h', w') → z, (B, Z)."""
        style: Tensor = self.styles(images, modality=modality)
        return style

    def draw(self, content: Tensor, style: Tensor, modality: Tensor) -> Tensor:
        """(B, C, h, w) and (B, Z) → images (B, 3, h', w') of the light that `modality` says."""
        adain = self.adain(style, modality=modality)
        images: Tensor = self.decoders(content, adain, modality=modality)
        return images

    def judged(self, images: Tensor) -> list[list[Tensor]]:
        """What each light's critic says of its half of 2R images: a map of each scale."""
        halves = images.chunk(len(self.critics))
        return [critic(half) for critic, half in zip(self.critics, halves, strict=True)]
