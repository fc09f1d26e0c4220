"""D2RL's image level T_I: two VAEs and two critics that draw each modality in the other.

Letters: x visible images (B_v, 3, H, W), y infrared ones (B_i, C, H, W), both in [-1, 1]; z_v, z_i
their codes (B, K, H / 4, W / 4). yhat is the infrared drawn of x, xhat the colours drawn of y.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.methods.d2rl.config import D2RLConfig
from crosslight.nn.conv_block import ResidualBlock, init_kaiming
from crosslight.nn.normalize import to_gray
from crosslight.nn.patch_critic import PatchCritic
from crosslight.nn.precision import graphless
from crosslight.nn.vae import Decoder, Encoder

VISIBLE_CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Everything that one pass draws of a batch, with its graph.

    Attributes:
        x: The visible images.
        y: The infrared images.
        mean_v: mu_v(x).
        mean_i: mu_i(y).
        recon_v: G_v(z_v).
        recon_i: G_i(z_i).
        fake_i: yhat = G_i(z_v).
        fake_v: xhat = G_v(z_i).
        mean_cycle_v: mu_i(yhat), the second encoding of x.
        mean_cycle_i: mu_v(xhat), the second encoding of y.
        cycle_v: G_v of the second code of x.
        cycle_i: G_i of the second code of y.
    """

    x: Tensor
    y: Tensor
    mean_v: Tensor
    mean_i: Tensor
    recon_v: Tensor
    recon_i: Tensor
    fake_i: Tensor
    fake_v: Tensor
    mean_cycle_v: Tensor
    mean_cycle_i: Tensor
    cycle_v: Tensor
    cycle_i: Tensor


class ImageLevel(nn.Module):
    """T_I; a code is its mean in eval mode and drawn around it in training.

    Attributes:
        encoder_v: E_v.
        encoder_i: E_i.
        decoder_v: G_v.
        decoder_i: G_i.
        shared_in: Blocks that end both encoders.
        shared_out: Blocks that begin both decoders.
        critic_v: D_v.
        critic_i: D_i.
    """

    def __init__(self, config: D2RLConfig) -> None:
        super().__init__()
        self.config = config
        width, blocks = config.width, config.blocks - config.shared_blocks
        channels = (VISIBLE_CHANNELS, config.infrared_channels)
        self.encoder_v, self.encoder_i = (
            Encoder(count, width=width, blocks=blocks, norm=config.encoder_norm, slope=config.slope)
            for count in channels
        )
        self.decoder_v, self.decoder_i = (
            Decoder(count, width=width, blocks=blocks, slope=config.slope) for count in channels
        )
        self.shared_in, self.shared_out = (
            nn.Sequential(
                *(
                    ResidualBlock(4 * config.width, slope=config.slope)
                    for _ in range(config.shared_blocks)
                )
            )
            for _ in range(2)
        )
        for network in self.generator:
            init_kaiming(network)
        self.critic_v, self.critic_i = (
            PatchCritic(
                count,
                width=config.critic_width,
                layers=config.critic_layers,
                scales=config.critic_scales,
            )
            for count in channels
        )

    @property
    def generator(self) -> tuple[nn.Module, ...]:
        """What the generators' optimizer moves."""
        own = (self.encoder_v, self.encoder_i, self.decoder_v, self.decoder_i)
        return (*own, self.shared_in, self.shared_out)

    @property
    def critics(self) -> tuple[nn.Module, ...]:
        """What the critics' optimizer moves."""
        return (self.critic_v, self.critic_i)

    def prepare(self, visible: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [0, 1] of each modality → x and y at the size this level works at."""
        gray = to_gray(infrared).expand(-1, self.config.infrared_channels, -1, -1)
        return self._shrunk(2 * visible - 1), self._shrunk(2 * gray - 1)

    def draw(self, x: Tensor, y: Tensor) -> Drawn:
        """Reconstructions, translations and their way back."""
        mean_v, mean_i = self._encode(self.encoder_v, x), self._encode(self.encoder_i, y)
        codes = torch.cat([self._sample(mean_v), self._sample(mean_i)])
        sizes = [len(x), len(y)]
        recon_v, fake_v = self._decode(self.decoder_v, codes).split(sizes)
        fake_i, recon_i = self._decode(self.decoder_i, codes).split(sizes)
        mean_cycle_v = self._encode(self.encoder_i, fake_i)
        mean_cycle_i = self._encode(self.encoder_v, fake_v)
        return Drawn(
            x=x,
            y=y,
            mean_v=mean_v,
            mean_i=mean_i,
            recon_v=recon_v,
            recon_i=recon_i,
            fake_i=fake_i,
            fake_v=fake_v,
            mean_cycle_v=mean_cycle_v,
            mean_cycle_i=mean_cycle_i,
            cycle_v=self._decode(self.decoder_v, self._sample(mean_cycle_v)),
            cycle_i=self._decode(self.decoder_i, self._sample(mean_cycle_i)),
        )

    def fake_infrared(self, visible: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 1, H, W) in [0, 1]: the same scene in infrared light."""
        mean = self._encode(self.encoder_v, self._shrunk(2 * visible - 1))
        return self._pixels(self._decode(self.decoder_i, self._sample(mean)).mean(1, keepdim=True))

    def fake_visible(self, infrared: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) in [0, 1] → (B, 3, H, W) in [0, 1]: the same scene in colours."""
        images = infrared.expand(-1, self.config.infrared_channels, -1, -1)
        mean = self._encode(self.encoder_i, self._shrunk(2 * images - 1))
        return self._pixels(self._decode(self.decoder_v, self._sample(mean)))

    def keep(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """X from its gray taken for infrared, and y drawn in infrared as a visible image."""
        gray = to_gray(x).expand(-1, self.config.infrared_channels, -1, -1)
        colours = y.mean(1, keepdim=True).expand(-1, VISIBLE_CHANNELS, -1, -1)
        kept_v = self._decode(self.decoder_v, self._sample(self._encode(self.encoder_i, gray)))
        kept_i = self._decode(self.decoder_i, self._sample(self._encode(self.encoder_v, colours)))
        return kept_v, kept_i

    def fake(self, decoder: nn.Module, mean: Tensor) -> Tensor:
        """Drawn of a code with noise of its own, without gradient."""
        with graphless():
            return self._decode(decoder, self._sample(mean))

    def _encode(self, encoder: nn.Module, images: Tensor) -> Tensor:
        mean: Tensor = self.shared_in(encoder(images))
        return mean

    def _decode(self, decoder: nn.Module, codes: Tensor) -> Tensor:
        images: Tensor = decoder(self.shared_out(codes))
        return images

    def _sample(self, mean: Tensor) -> Tensor:
        return mean + torch.randn_like(mean) if self.training else mean

    def _shrunk(self, images: Tensor) -> Tensor:
        shrink = self.config.image_shrink
        return images if shrink == 1 else F.avg_pool2d(images, shrink)

    def _pixels(self, drawn: Tensor) -> Tensor:
        pixels = (drawn + 1) / 2
        if self.config.image_shrink == 1:
            return pixels
        return F.interpolate(
            pixels, scale_factor=self.config.image_shrink, mode="bilinear", align_corners=False
        )
