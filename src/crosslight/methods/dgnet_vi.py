"""DG-Net across spectra: one network for visible and infrared images (Jambigi, 2020).

The "baseline" of a study at the Indian Institute of Science: appearance encoder, structure
encoder, decoder and critic of DG-Net are shared by both lights, the teacher is trained on both,
and pairs are made so that codes are exchanged within and across light:

    an image and its partner        same person, same light
    the two halves of a batch       different people, in different light or in the same

Who meets whom is the sampler's matter (`data.sampling: light-pairs`, `data.across_light`);
losses, weights and ramps are DG-Net's.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.errors import ConfigError
from crosslight.methods.contract import Update
from crosslight.methods.dgnet import DGNet, DGNetConfig, equations
from crosslight.methods.dgnet.equations import both
from crosslight.methods.terms import Term, borrowed


@dataclass(frozen=True, kw_only=True)
class DGNetVIConfig(DGNetConfig):
    """What a recipe may set under `config`; the rest is at `DGNetConfig`.

    "Slides" are the study's, "code" is what its author ran.

    Attributes:
        detach_code: Cut the appearance code off from its encoder, so that no loss on a generated
            image trains it. `False` lets them, beside the identity losses.
        divergence: Direction of the Kullback-Leibler divergence between teacher q and student p
            on generated images. The slides print KL(p || q), the code computes KL(q || p).
    """

    detach_code: bool = True  # code
    divergence: Literal["teacher-student", "student-teacher"] = "teacher-student"  # code


class DGNetVI(DGNet):
    """DG-Net for both lights; see `DGNetVIConfig`."""

    Config = DGNetVIConfig
    config: DGNetVIConfig
    terms: ClassVar = {
        **borrowed(equations.TERMS, "DG-Net"),
        "exchanged_across_light": Term(
            meaning="share of exchanges that went across light", origin="figure"
        ),
    }
    switches: ClassVar = {
        "attached-code": {"config.detach_code": False},
        "reversed-divergence": {"config.divergence": "student-teacher"},
        "pairs-within-light": {"data.across_light": 0.0},
        "pairs-across-light": {"data.across_light": 1.0},
        "pairs-by-chance": {"data.across_light": None},
        "improved": {
            "config.code_slices": "stripes",
            "config.appearance_code_gradient": True,
            "config.teacher_statistics": "running",
            "config.teacher_dropout": False,
        },
    }

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """DG-Net's step, and how many of the exchanges went across light."""
        if update.progress.iteration == 0:
            refuse_partners_across_light(batch)
        figures = super().training_step(batch, update)
        lights = batch.modality[::2].chunk(2)
        across = (lights[0] != lights[1]).float().mean()
        return {**figures, "exchanged_across_light": across}

    def _generator_moves(self) -> str | tuple[str, ...]:
        return "generator" if self.config.detach_code else ("generator", "identity")

    def _code_graph(self) -> AbstractContextManager[None]:
        return super()._code_graph() if self.config.detach_code else nullcontext()

    def _loss_primary(self, logits: Tensor, taught: Tensor) -> Tensor:
        if self.config.divergence == "teacher-student":
            return super()._loss_primary(logits, taught)
        student = logits.log_softmax(dim=1)
        teacher = taught.clamp(min=torch.finfo(taught.dtype).tiny).log()
        return both(F.kl_div(teacher, student, reduction="batchmean", log_target=True))


def refuse_partners_across_light(batch: Batch) -> None:
    """Checks that an image and its partner, which come in turn, are of one person in one light.

    Raises:
        ConfigError: They are not.
    """
    same = (batch.modality[::2] == batch.modality[1::2]) & (batch.labels[::2] == batch.labels[1::2])
    if not bool(same.all()):
        raise ConfigError(
            f"{int((~same).sum())} of {len(same)} images have a partner of another person or in "
            "another light, but this method needs pairs of one person in one light; set "
            "data.sampling to light-pairs."
        )
