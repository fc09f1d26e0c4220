"""What a recipe of Approach 0 may set."""

from __future__ import annotations

from dataclasses import dataclass

from crosslight.methods.scaling import EpochCount, MethodConfig
from crosslight.ranges import Width


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
    epochs: EpochCount = 100  # ours
    lr: float = 1e-4  # ours
    lr_fall: float = 0.6  # ours
