"""Approach 0 as its slides write it: losses of one triplet at a time; its iterations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.oracles.draws import Draws
from tests.oracles.plain import Adam, Plain, batch_norm, conv, leaky, linear

Decode = Callable[[int, Tensor, Tensor], Tensor]
"""Modality, S, M, one sample each → image."""
Encode = Callable[[int, Tensor], tuple[Tensor, Tensor]]
"""Modality, image → S, M."""


def recon(x: Tensor, s: Tensor, m: Tensor, modality: Sequence[int], decode: Decode) -> Tensor:
    """Sum over k of ||X_k - D_k(S_k, M_k)||^2, where each image is X1, X2 and X3 once."""
    terms = [((x[k] - decode(modality[k], s[k], m[k])) ** 2).mean() for k in range(len(x))]
    roles = [torch.stack(terms).mean() for _ in range(3)]
    return roles[0] + roles[1] + roles[2]


def cross(
    x: Tensor,
    s: Tensor,
    m: Tensor,
    modality: Sequence[int],
    positive: Sequence[int],
    decode: Decode,
) -> Tensor:
    """||X1 - D_1(S2, M1)||^2 + ||X2 - D_2(S1, M2)||^2."""
    terms = []
    for a, p in enumerate(positive):
        terms.append(((x[a] - decode(modality[a], s[p], m[a])) ** 2).mean())
    first = second = sum(terms) / len(terms)
    return first + second


def cycle(
    x: Tensor,
    s: Tensor,
    m: Tensor,
    modality: Sequence[int],
    positive: Sequence[int],
    encode: Encode,
    decode: Decode,
) -> Tensor:
    """The crossed images taken apart again and their S exchanged back; struck out on the slide."""
    crossed = [decode(modality[a], s[p], m[a]) for a, p in enumerate(positive)]
    again = [encode(modality[a], image) for a, image in enumerate(crossed)]
    terms = []
    for a, p in enumerate(positive):
        terms.append(((x[a] - decode(modality[a], again[p][0], again[a][1])) ** 2).mean())
    first = second = sum(terms) / len(terms)
    return first + second


def triplet(s: Tensor, positive: Sequence[int], negative: Sequence[int], margin: float) -> Tensor:
    """max(0, m + ||f(X1) - f(X2)||^2 - ||f(X1) - f(X3)||^2), f being S of length 1."""
    f = [row / (row**2).sum().sqrt() for row in s]
    terms = []
    for a, (p, n) in enumerate(zip(positive, negative, strict=True)):
        value = margin + ((f[a] - f[p]) ** 2).sum() - ((f[a] - f[n]) ** 2).sum()
        terms.append(value if value.item() > 0 else value * 0)
    return torch.stack(terms).mean()


class PlainUNet(Plain):
    """Two encoders, two decoders, Adam, a rate that falls once.

    Args:
        state: Weights by name.
        config: Weights of the losses, margin, rate.
    """

    def __init__(self, state: Any, config: Any) -> None:
        super().__init__(state)
        self.config = config
        self.optimizers["model"] = Adam((self.w.under("encoders", "decoders"), config.lr))

    def step(self, batch: Any, progress: Any, draws: Draws) -> dict[str, float]:
        """One iteration; gives the figures."""
        config, images = self.config, batch.images
        modality = batch.modality.tolist()
        positive = draws.partners(batch.labels, batch.modality, same=True)
        s, rest = self._encode(images, modality)
        losses = {"loss_recon": 3 * ((images - self._decode(s, rest, modality)) ** 2).mean()}
        crossed = self._decode(s[positive], rest, modality)
        losses["loss_cross"] = 2 * ((images - crossed) ** 2).mean()
        if config.cycle_weight:
            s_again, rest_again = self._encode(crossed, modality)
            cycled = self._decode(s_again[positive], rest_again, modality)
            losses["loss_cycle"] = 2 * ((images - cycled) ** 2).mean()
        x2 = draws.partners(batch.labels, batch.modality, same=True)
        x3 = draws.partners(batch.labels, batch.modality, same=False)
        losses["loss_triplet"] = triplet(s, x2, x3, config.margin)

        weights = {
            "loss_recon": config.recon_weight,
            "loss_cross": config.cross_weight,
            "loss_cycle": config.cycle_weight,
            "loss_triplet": config.triplet_weight,
        }
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        early = progress.iteration / progress.iterations < config.lr_fall
        self.move(["model"], total, {"model": 1.0 if early else 0.1})
        return {name: loss.item() for name, loss in losses.items()}

    def _encode(self, images: Tensor, modality: list[int]) -> tuple[Tensor, list[Tensor]]:
        """S, and M with what the decoder sees of the maps on the way."""
        found: list[Any] = [None] * len(images)
        for light in (0, 1):
            rows = [i for i, m in enumerate(modality) if m == light]
            name, maps, skips = f"encoders.{light}", images[rows], []
            for stage in range(len(self.config.widths)):
                maps = self._layer(f"{name}.stages.{stage}", maps, stride=2)
                if f"{name}.squeeze.{stage}.weight" in self.w:
                    skips.append(conv(self.w, f"{name}.squeeze.{stage}", maps))
            s = linear(self.w, f"{name}.to_s", maps.mean(dim=(2, 3)))
            rest = [conv(self.w, f"{name}.to_m", maps), *skips]
            for place, row in enumerate(rows):
                found[row] = (s[place], [part[place] for part in rest])
        parts = zip(*(rest for _, rest in found), strict=True)
        return torch.stack([s for s, _ in found]), [torch.stack(part) for part in parts]

    def _decode(self, s: Tensor, rest: list[Tensor], modality: list[int]) -> Tensor:
        found: list[Any] = [None] * len(s)
        for light in (0, 1):
            rows = [i for i, m in enumerate(modality) if m == light]
            name, (m, *skips) = f"decoders.{light}", [part[rows] for part in rest]
            everywhere = s[rows][:, :, None, None] + torch.zeros_like(m[:, :1])
            maps = self._layer(f"{name}.first", torch.cat([everywhere, m], dim=1))
            for stage in range(len(self.config.widths)):
                if stage and skips:
                    maps = torch.cat([maps, skips[-stage]], dim=1)
                maps = maps.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
                maps = self._layer(f"{name}.stages.{stage}.1", maps)
            pixels = 1 / (1 + torch.exp(-conv(self.w, f"{name}.last", maps, padding=1)))
            for row, image in zip(rows, pixels, strict=True):
                found[row] = image if light == 0 else torch.cat([image, image, image])
        return torch.stack(found)

    def _layer(self, name: str, maps: Tensor, stride: int = 1) -> Tensor:
        maps = conv(self.w, f"{name}.0", maps, stride=stride, padding=1)
        return leaky(batch_norm(self.w, f"{name}.1", maps), 0.2)
