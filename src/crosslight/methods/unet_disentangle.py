"""Approach 0: disentangling at the level of images (Jambigi, IISc, project slides, 2020).

An encoder of each modality takes an image apart into S, the identity, and M, the rest; a decoder
of each modality puts them together again: its own S, or that of the same person in the other
light, must give the image back. People are matched by S.

Letters: B batch. X1 is an anchor, X2 its person and X3 somebody else, both in the other modality;
here every image is the anchor of a triplet. D_k(S_a, M_b) is the decoder of modality k, that of
image b.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.errors import ConfigError
from crosslight.methods.contract import Method, Progress, Scheduled, Stage, Update
from crosslight.methods.cross_modal_triplets import draw_negatives, draw_positives
from crosslight.methods.scaling import MethodConfig
from crosslight.methods.unet_disentangle_networks import Decoder, Encoder, modality_of
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.precision import full_precision
from crosslight.ranges import Count, Width
from crosslight.types import Modality


@dataclass(frozen=True, kw_only=True)
class UNetDisentangleConfig(MethodConfig):
    """What a recipe may set under `config`.

    "slides" are the project slides of 25 May 2020. They do not give the network (its figure is
    lost), the margin or the schedule: "ours" marks those.

    Attributes:
        widths: Channels of the encoder's stages, each of which halves the map.
        identity: Length of S.
        rest: Channels of M.
        skips: Whether the decoder also sees the encoder's maps, as in a U-Net; only from the side
            of M, because a decoder that is shown the image need not look at S.
        recon_weight: Weight of the reconstruction; 0 turns it off, as for the others.
        cross_weight: Weight of the reconstruction with the same person's other S.
        triplet_weight: Weight of the triplet loss on S.
        cycle_weight: Weight of the cyclic loss, which the slides strike out.
        margin: m of the triplet loss, on S of length 1.
        epochs: Length of training.
        lr: Learning rate (Adam).
        lr_fall: Part of the training after which the rate is a tenth.
    """

    widths: tuple[Width, ...] = (32, 64, 128, 256, 512)  # ours
    identity: Width = 256  # ours
    rest: Width = 64  # ours
    skips: bool = False  # ours
    recon_weight: float = 1.0  # slides: the plain sum
    cross_weight: float = 1.0  # slides
    triplet_weight: float = 1.0  # slides
    cycle_weight: float = 0.0  # slides: struck out
    margin: float = 0.3  # ours
    epochs: Count = 100  # ours
    lr: float = 1e-4  # ours
    lr_fall: float = 0.6  # ours


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What encoders make of images.

    Attributes:
        s: (B, S).
        m: (B, M, h, w).
        skips: (B, M, ., .) each, the largest first; none unless the method has them.
    """

    s: Tensor
    m: Tensor
    skips: tuple[Tensor, ...] = ()


class UNetDisentangle(Method):
    """Approach 0; see `UNetDisentangleConfig`."""

    Config = UNetDisentangleConfig
    small: ClassVar = {"widths": (8, 16, 16), "identity": 16, "rest": 4, "lr": 3e-3}
    distance = "euclidean"

    def __init__(
        self,
        config: UNetDisentangleConfig,
        *,
        num_ids: int,  # noqa: ARG002 -- no loss of this method names people
        height: int,
        width: int,
    ) -> None:
        super().__init__()
        step = 2 ** len(config.widths)
        if height % step or width % step:
            raise ConfigError(
                f"Images of {height} x {width} pixels cannot be halved {len(config.widths)} times; "
                f"set data.height and data.width to multiples of {step}, or give fewer "
                "config.widths."
            )
        self.config = config
        sizes = (config.widths, config.identity, config.rest)
        self.encoders = nn.ModuleList(Encoder(*sizes, skips=config.skips) for _ in Modality)
        self.decoders = nn.ModuleList(
            Decoder(*sizes, channels=channels, skips=config.skips) for channels in (3, 1)
        )

    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (Stage(name="train", epochs=self.config.epochs),)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """One optimizer, `model`."""
        adam = torch.optim.Adam(self.parameters(), lr=self.config.lr)
        return {"model": Scheduled(optimizer=adam, factor=self._fall)}

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """Reconstruction, reconstruction with the same person's other S, triplet on S."""
        losses = self.losses(batch)
        config = self.config
        weights = {
            "loss_recon": config.recon_weight,
            "loss_cross": config.cross_weight,
            "loss_cycle": config.cycle_weight,
            "loss_triplet": config.triplet_weight,
        }
        update("model", losses, weights)
        return losses

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The plain losses whose weight is not 0.

        Raises:
            ConfigError: An image has no partner in the other modality.
        """
        config, images, modality = self.config, batch.images, batch.modality
        parts = self.encode(images, modality)
        positive = draw_positives(batch.labels, modality)
        found: dict[str, Tensor] = {}
        if config.recon_weight:
            # X1, X2 and X3: each image plays the three of them.
            rebuilt = self.decode(parts, modality)
            found["loss_recon"] = 3 * F.mse_loss(rebuilt, images)
        if config.cross_weight or config.cycle_weight:
            crossed = self.decode(replace(parts, s=parts.s[positive]), modality)
        if config.cross_weight:
            # ||X1 - D_1(S2, M1)||^2 + ||X2 - D_2(S1, M2)||^2
            found["loss_cross"] = 2 * F.mse_loss(crossed, images)
        if config.cycle_weight:
            # Both crossed images taken apart and their S exchanged back.
            again = self.encode(crossed, modality)
            cycled = self.decode(replace(again, s=again.s[positive]), modality)
            found["loss_cycle"] = 2 * F.mse_loss(cycled, images)
        if config.triplet_weight:
            found["loss_triplet"] = self._triplet(parts.s, batch)
        return found

    def encode(self, images: Tensor, modality: Tensor) -> Parts:
        """Takes images (B, 3, H, W) apart, each by the encoder of its modality."""
        rows = _rows(modality)
        chosen = [self.encoders[light](images[row]) for light, row in rows.items()]
        order = torch.cat(list(rows.values())).argsort()
        s, m, *skips = (torch.cat(part)[order] for part in zip(*chosen, strict=True))
        return Parts(s=s, m=m, skips=tuple(skips))

    def decode(self, parts: Parts, modality: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1]: puts parts together, each by the decoder of a modality."""
        rows = _rows(modality)
        drawn = [
            self.decoders[light](
                s=parts.s[row], m=parts.m[row], skips=[skip[row] for skip in parts.skips]
            )
            for light, row in rows.items()
        ]
        return torch.cat(drawn)[torch.cat(list(rows.values())).argsort()]

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        """S of length 1, to be compared by the Euclidean distance."""
        s = self.encode(images, modality).s
        with full_precision(s):
            return F.normalize(_wide(s))

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:
        """S and M."""
        parts = self.encode(images, modality)
        return {"s": _wide(parts.s), "m": _wide(parts.m.flatten(1))}

    def swap(self, appearance: Tensor, structure: Tensor) -> Tensor:
        """The identity part S of one image with the rest M of another, in that one's light.

        An image whose three channels are equal counts as infrared.
        """
        light = modality_of(structure)
        identity = self.encode(appearance, modality_of(appearance)).s
        return self.decode(replace(self.encode(structure, light), s=identity), light)

    def _triplet(self, s: Tensor, batch: Batch) -> Tensor:
        """Mean of max(0, m + ||f(X1) - f(X2)||^2 - ||f(X1) - f(X3)||^2), f being S of length 1."""
        with full_precision(s):
            f = gather_with_gradient(F.normalize(_wide(s)))
            labels, modality = (gather_with_gradient(x) for x in (batch.labels, batch.modality))
            positive, negative = draw_positives(labels, modality), draw_negatives(labels, modality)
            to_positive = (f - f[positive]).square().sum(dim=1)
            to_negative = (f - f[negative]).square().sum(dim=1)
            return F.relu(self.config.margin + to_positive - to_negative).mean()

    def _fall(self, progress: Progress) -> float:
        return 1.0 if progress.fraction < self.config.lr_fall else 0.1


def _rows(modality: Tensor) -> dict[Modality, Tensor]:
    """Which images of a batch are of each modality that it holds."""
    rows = {light: torch.nonzero(modality == light).squeeze(1) for light in Modality}
    return {light: row for light, row in rows.items() if len(row)}


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
