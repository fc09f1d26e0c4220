"""DG-Net across spectra (Jambigi, 2020): what differs from DG-Net's iteration."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from crosslight.methods.dgnet_vi import DGNetVI
from tests.oracles.dgnet import PlainStep
from tests.oracles.draws import Draws


class PlainStepVI(PlainStep):
    """DG-Net's, where the code may be attached and the divergence turned round as on the slides."""

    def __init__(self, method: DGNetVI) -> None:
        super().__init__(method)
        self.settings = method.config
        self.cuts_code = method.config.detach_code

    def step(self, batch: Any, progress: Any, draws: Draws) -> dict[str, float]:
        """One iteration with what a method has drawn; and how many exchanged across light."""
        figures = super().step(batch, progress, draws)
        light = batch.modality[::2].tolist()
        half = len(light) // 2
        across = [a != b for a, b in zip(light[:half], light[half:], strict=True)]
        return {**figures, "exchanged_across_light": sum(across) / half}

    def divergence(self, taught: Tensor, student: Tensor) -> Tensor:
        """KL(q || p), which the code computes, or KL(p || q), which the slides print."""
        if self.settings.divergence == "teacher-student":
            return super().divergence(taught, student)
        p = torch.softmax(student, dim=1)
        return (p * (p.log() - taught.log())).sum() / len(taught)
