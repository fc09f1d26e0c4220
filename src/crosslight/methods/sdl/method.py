"""SDL: two streams, an embedding x that is the sum of who it is, u, and of the light, v.

Letters: B batch over all processes, C channels of the pooled vectors, D length of x, u and v.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import ClassVar

import torch
from torch import Tensor, nn

from crosslight.data.batch import Batch
from crosslight.errors import ConfigError
from crosslight.methods.backbone_config import build_backbone
from crosslight.methods.contract import Method, Scheduled, Stage, Update
from crosslight.methods.optimization import make_optimizer
from crosslight.methods.sdl import equations
from crosslight.methods.sdl.config import (
    SWITCHES,
    SDLConfig,
    SDLReleasedConfig,
    refuse_contradictions,
)
from crosslight.methods.sdl.equations import LIGHTS, unit
from crosslight.methods.sdl.networks import Branches, Trunk
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.freezing import frozen
from crosslight.nn.normalize import Normalize
from crosslight.nn.pooling import make_pool
from crosslight.nn.precision import full_precision
from crosslight.nn.two_stream import build_streams
from crosslight.types import Modality


class SDL(Method):
    """SDL with every loss at work; see `SDLConfig`."""

    Config = SDLConfig
    terms: ClassVar = equations.TERMS
    config: SDLConfig
    switches: ClassVar = SWITCHES
    # A tenth of the rate moves too little to see within seconds.
    small: ClassVar = {"backbone": "resnet10-quarter", "weights": "none", "dim": 32, "lr": 0.05}

    def __init__(self, config: SDLConfig, *, num_ids: int, height: int, width: int) -> None:
        super().__init__()
        refuse_contradictions(config)
        self.config = config
        backbone = build_backbone(config, (height, width))
        self.normalize = Normalize(backbone.mean, backbone.std)
        self.backbone = build_streams(backbone, config.streams)
        self.pool = make_pool(config.pooling, p=config.gem_p, stripes=config.parts)
        self.branches = Branches(
            backbone.channels * config.parts,
            config.dim,
            num_ids,
            dropout=config.dropout,
            branching=config.branching,
        )

    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (Stage(name="train", epochs=self.config.epochs),)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """One optimizer, `model`."""
        branches = self.branches
        whole = nn.ModuleList([branches.x])
        if branches.first is not None:
            whole.append(branches.first)
        others = nn.ModuleList([branches.u, branches.v])
        made = make_optimizer(
            self.config, self, new=whole, others=[(others, self.config.branches_lr_factor)]
        )
        return {"model": made}

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """All losses in one step."""
        vectors = self._vectors(batch.images, batch.modality)
        with full_precision(vectors):
            # Everything after the streams is cheap, and normalises over the whole batch.
            vectors = gather_with_gradient(vectors)
            labels = gather_with_gradient(batch.labels)
            losses, figures = self._losses(vectors, labels, gather_with_gradient(batch.modality))
        update("model", losses, equations.loss_weights(self.config))
        return {**losses, **figures}

    def _losses(
        self, vectors: Tensor, labels: Tensor, modality: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The plain losses whose weight is not 0, and the accuracy of each classifier."""
        config, branches = self.config, self.branches
        wanted = {name for name, weight in equations.loss_weights(config).items() if weight}
        self._refuse_single_images(modality)
        trunk = branches.trunk(vectors, modality)
        x = branches.x.embed(trunk.embedded)
        logits = branches.x.classify(x)
        losses = {"loss_id_x": equations.loss_id(logits, labels)}
        figures = {"accuracy_x": _accuracy(logits, labels)}
        if wanted == {"loss_id_x"}:
            return losses, figures
        u = branches.u.embed(trunk.branched)
        if "loss_id_u" in wanted:
            logits = branches.u.classify(u)
            losses["loss_id_u"] = equations.loss_id(logits, labels)
            figures["accuracy_u"] = _accuracy(logits, labels)
        for light, name in LIGHTS.items():
            rows = self._distilled(light, modality)
            if not len(rows) or not wanted & {f"loss_disentangle_{name}", f"loss_dispel_{name}"}:
                continue
            v = branches.v.networks[light](trunk.branched[rows])
            if f"loss_disentangle_{name}" in wanted:
                losses[f"loss_disentangle_{name}"] = equations.loss_disentangle(
                    x[rows], u[rows], v, config.disentangle
                )
            if f"loss_dispel_{name}" in wanted:
                moves = config.dispeller_moves_classifier
                with nullcontext() if moves else frozen(branches.u, dropout=True):
                    logits = branches.u.classify(v)
                losses[f"loss_dispel_{name}"] = equations.loss_dispel(logits, config.dispeller)
        return losses, figures

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        """U of length 1, or what `match_on` names, to be compared by the cosine."""
        vectors = self._vectors(images, modality)
        branches, match_on = self.branches, self.config.match_on
        with full_precision(vectors):
            trunk = branches.trunk(vectors, modality)
            if match_on == "embedding":
                return unit(branches.x.embed(trunk.embedded))
            u = unit(branches.u.embed(trunk.branched))
            if match_on == "identity":
                return u
            if match_on == "translated":
                return u + unit(branches.v.networks[Modality.VISIBLE](trunk.branched))
            return u + self._spectrum(trunk, modality)

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:
        """`embedding` x, `identity` u and `spectrum` v of the image's own light, of length 1."""
        vectors = self._vectors(images, modality)
        branches = self.branches
        with full_precision(vectors):
            trunk = branches.trunk(vectors, modality)
            return {
                "embedding": unit(branches.x.embed(trunk.embedded)),
                "identity": unit(branches.u.embed(trunk.branched)),
                "spectrum": self._spectrum(trunk, modality),
            }

    def _vectors(self, images: Tensor, modality: Tensor) -> Tensor:
        vectors: Tensor = self.pool(self.backbone(self.normalize(images), modality=modality))
        return vectors

    def _spectrum(self, trunk: Trunk, light: Tensor) -> Tensor:
        return unit(self.branches.v(trunk.branched, modality=light))

    def _distilled(self, light: Modality, modality: Tensor) -> Tensor:
        """The rows that v of a light sees."""
        if self.config.distil == "all":
            return torch.arange(len(modality), device=modality.device)
        return torch.nonzero(modality == light).squeeze(1)

    def _refuse_single_images(self, modality: Tensor) -> None:
        """A layer of one light normalises over the batch's images of that light.

        Raises:
            ConfigError: There is one.
        """
        if self.config.distil == "all" and self.config.branching == "pooled":
            return
        for light, name in LIGHTS.items():
            if int((modality == light).sum()) == 1:
                raise ConfigError(
                    f"A batch has a single {name} image, but batch normalisation of the {name} "
                    "branch needs two; set data.sampling to cross-modal and data.ids_per_batch to "
                    "2 or more."
                )


class SDLReleased(SDL):
    """SDL as the released code ran; see `SDLReleasedConfig`."""

    Config = SDLReleasedConfig
    config: SDLReleasedConfig


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(dim=1) == labels).float().mean()
