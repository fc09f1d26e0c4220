"""Approach 1 as its slides write it: losses of one triplet at a time; its iterations.

Notation of the slides: X_a^b = D(m_a, s_b), by the decoder of a's modality.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.oracles.bdtr import PlainBDTR
from tests.oracles.draws import Draws
from tests.oracles.plain import Adam, Weights, accuracy, cross_entropy, linear, relu

Decode = Callable[[int, Tensor, Tensor], Tensor]
"""Modality, s, m, one sample each → embedding."""


def size(vector: Tensor, norm: str) -> Tensor:
    """| | of one vector, value by value."""
    values = list(vector)
    if norm == "l2":
        return sum(v * v for v in values) ** 0.5  # type: ignore[return-value]
    total = sum(abs(v) for v in values)
    return total / len(values) if norm == "mean" else total  # type: ignore[return-value]


def simple(
    x: Tensor, s: Tensor, m: Tensor, modality: Sequence[int], decode: Decode, norm: str
) -> Tensor:
    """|X1 - X^1| + |X2 - X^2| + |X3 - X^3|, where each image is each of the three once."""
    terms = [size(x[k] - decode(modality[k], s[k], m[k]), norm) for k in range(len(x))]
    roles = [torch.stack(terms).mean() for _ in range(3)]
    return roles[0] + roles[1] + roles[2]


def cross(
    x: Tensor,
    s: Tensor,
    m: Tensor,
    modality: Sequence[int],
    positive: Sequence[int],
    decode: Decode,
    norm: str,
) -> Tensor:
    """|X1 - D_rgb(m1, s2)| + |X2 - D_ir(m2, s1)|, the mean over anchors being either term's."""
    terms = []
    for a, p in enumerate(positive):
        terms.append(size(x[a] - decode(modality[a], s[p], m[a]), norm))
    first = second = sum(terms) / len(terms)
    return first + second


def dis(
    s: Tensor,
    m: Tensor,
    labels: Sequence[int],
    modality: Sequence[int],
    negative: Sequence[int],
    decode: Decode,
    posterior: Callable[[Tensor], Tensor],
) -> Tensor:
    """-log p(y3 | X_1^3) - log p(y1 | X_3^1), the mean over anchors being either term's."""
    terms = []
    for a, n in enumerate(negative):
        mixed = decode(modality[a], s[n], m[a])
        terms.append(-torch.log(posterior(mixed)[labels[n]]))
    first = second = sum(terms) / len(terms)
    return first + second


def triplet(
    s: Tensor, positive: Sequence[int], negative: Sequence[int], margin: float, norm: str
) -> Tensor:
    """max(0, m + |s1 - s2| - |s1 - s3|)."""
    terms = []
    for a, (p, n) in enumerate(zip(positive, negative, strict=True)):
        value = margin + size(s[a] - s[p], norm) - size(s[a] - s[n], norm)
        terms.append(value if value.item() > 0 else value * 0)
    return torch.stack(terms).mean()


def hardest(
    s: Tensor, labels: Sequence[int], modality: Sequence[int], norm: str
) -> tuple[list[int], list[int]]:
    """Each anchor's furthest image of its person, and nearest of others, in the other light."""
    positives, negatives = [], []
    for a in range(len(s)):
        across = [j for j in range(len(s)) if modality[j] != modality[a]]

        def distance(j: int, a: int = a) -> float:
            return size(s[a] - s[j], norm).item()

        positives.append(max((j for j in across if labels[j] == labels[a]), key=distance))
        negatives.append(min((j for j in across if labels[j] != labels[a]), key=distance))
    return positives, negatives


class PlainEmbeddings(PlainBDTR):
    """BDTR; a classifier of its embeddings; encoders and decoders of them.

    Args:
        state: Weights by name.
        config: Weights of the losses, norm, margin, rate.
    """

    def __init__(self, state: Any, config: Any) -> None:
        super().__init__(state, config.bdtr, "bdtr.")
        self.config = config
        parts = self.w.under("s_encoder", "m_encoder", "decoder")
        self.optimizers["classifier"] = Adam((self.w.under("classifier"), config.lr))
        self.optimizers["codes"] = Adam((parts, config.lr))

    def step(self, batch: Any, progress: Any, draws: Draws) -> dict[str, float]:
        """One iteration of a stage; gives the figures."""
        if progress.stage == "bdtr":
            return super().step(batch, progress, draws)
        config, frozen = self.config, self.w.frozen()
        # Of one length, so that a value is about 1.
        x = self.embeddings(frozen, batch, "running")
        x = x / (x**2).sum(dim=1, keepdim=True).sqrt() * x.shape[1] ** 0.5
        if progress.stage == "classifier":
            logits = self._mlp(self.w, "classifier", x, last_relu=False)
            loss = cross_entropy(logits, batch.labels)
            self.move(["classifier"], loss, {"classifier": 1.0})
            return {"loss_classifier": loss.item(), "accuracy": accuracy(logits, batch.labels)}

        labels, modality = batch.labels.tolist(), batch.modality.tolist()
        positive = draws.partners(batch.labels, batch.modality, same=True)
        negative = draws.partners(batch.labels, batch.modality, same=False)
        s, m = (
            torch.stack(
                [
                    self._mlp(self.w, f"{part}_encoder.networks.{light}", row)
                    for row, light in zip(x, modality, strict=True)
                ]
            )
            for part in ("s", "m")
        )

        def decode(light: int, s: Tensor, m: Tensor) -> Tensor:
            name, bent = f"decoder.networks.{light}", config.decoder_output == "relu"
            return self._mlp(self.w, f"{name}.from_s", s, last_relu=bent) + self._mlp(
                self.w, f"{name}.from_m", m, last_relu=bent
            )

        def posterior(embedding: Tensor) -> Tensor:
            scores = torch.exp(self._mlp(frozen, "classifier", embedding, last_relu=False))
            return scores / scores.sum()

        losses = {
            "loss_simple": simple(x, s, m, modality, decode, config.norm),
            "loss_cross": cross(x, s, m, modality, positive, decode, config.norm),
            "loss_dis": dis(s, m, labels, modality, negative, decode, posterior),
        }
        if config.triplet == "hard":
            positive, negative = hardest(s, labels, modality, config.norm)
        losses["loss_triplet"] = triplet(s, positive, negative, config.margin, config.norm)
        weights = {
            "loss_simple": config.simple_weight,
            "loss_cross": config.cross_weight,
            "loss_dis": config.dis_weight,
            "loss_triplet": config.triplet_weight,
        }
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        early = progress.iteration / progress.iterations < config.lr_fall
        self.move(["codes"], total, {"codes": 1.0 if early else 0.1})
        return {name: loss.item() for name, loss in losses.items()}

    @staticmethod
    def _mlp(w: Weights, name: str, row: Tensor, *, last_relu: bool = True) -> Tensor:
        """Linear layers with a ReLU behind each, behind the last where that is wanted."""
        layers = [key for key in w if key.startswith(f"{name}.") and key.endswith(".weight")]
        for number, key in enumerate(layers, start=1):
            row = linear(w, key.removesuffix(".weight"), row)
            if number < len(layers) or last_relu:
                row = relu(row)
        return row
