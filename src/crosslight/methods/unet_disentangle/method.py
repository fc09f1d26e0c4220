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
from crosslight.methods.unet_disentangle import equations
from crosslight.methods.unet_disentangle.config import UNetDisentangleConfig
from crosslight.methods.unet_disentangle.networks import Decoder, Encoder
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.modality_of import modality_of
from crosslight.nn.per_modality import SeesLights, as_they_came
from crosslight.nn.precision import wide
from crosslight.types import Modality


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


class UNetDisentangle(SeesLights, Method):
    """Approach 0; see `UNetDisentangleConfig`."""

    Config = UNetDisentangleConfig
    terms: ClassVar = equations.TERMS
    fewest_ids: ClassVar = 2
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
            rebuilt = self.decode(parts, modality)
            found["loss_recon"] = equations.loss_recon(rebuilt, images)
        if config.cross_weight or config.cycle_weight:
            crossed = self.decode(replace(parts, s=parts.s[positive]), modality)
        if config.cross_weight:
            found["loss_cross"] = equations.loss_cross(crossed, images)
        if config.cycle_weight:
            again = self.encode(crossed, modality)
            cycled = self.decode(replace(again, s=again.s[positive]), modality)
            found["loss_cycle"] = equations.loss_cycle(cycled, images)
        if config.triplet_weight:
            found["loss_triplet"] = self._triplet(parts.s, batch)
        return found

    def encode(self, images: Tensor, modality: Tensor) -> Parts:
        """Takes images (B, 3, H, W) apart, each by the encoder of its modality."""
        rows = self.rows_of(modality)
        chosen = [self.encoders[int(part.light)](part.of(images)) for part in rows]
        s, m, *skips = (as_they_came(part, rows) for part in zip(*chosen, strict=True))
        return Parts(s=s, m=m, skips=tuple(skips))

    def decode(self, parts: Parts, modality: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1]: puts parts together, each by the decoder of a modality."""
        rows = self.rows_of(modality)
        drawn = [
            self.decoders[int(part.light)](
                s=part.of(parts.s),
                m=part.of(parts.m),
                skips=[part.of(skip) for skip in parts.skips],
            )
            for part in rows
        ]
        return as_they_came(drawn, rows)

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        """S of length 1, to be compared by the Euclidean distance."""
        s = self.encode(images, modality).s
        return F.normalize(wide(s))

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:
        """S and M."""
        parts = self.encode(images, modality)
        return {"s": wide(parts.s), "m": wide(parts.m.flatten(1))}

    def swap(self, appearance: Tensor, structure: Tensor) -> Tensor:
        """The identity part S of one image with the rest M of another, in that one's light.

        An image whose three channels are equal counts as infrared.
        """
        light = modality_of(structure)
        identity = self.encode(appearance, modality_of(appearance)).s
        return self.decode(replace(self.encode(structure, light), s=identity), light)

    def _triplet(self, s: Tensor, batch: Batch) -> Tensor:
        """Over the images of all ranks, each with a partner and a stranger drawn by chance."""
        f = gather_with_gradient(F.normalize(wide(s)))
        labels, modality = (gather_with_gradient(x) for x in (batch.labels, batch.modality))
        positive, negative = draw_positives(labels, modality), draw_negatives(labels, modality)
        return equations.loss_triplet(f, positive, negative, margin=self.config.margin)

    def _fall(self, progress: Progress) -> float:
        return 1.0 if progress.fraction < self.config.lr_fall else 0.1
