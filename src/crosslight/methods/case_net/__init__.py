"""CASE-Net: shape that knows nothing of colour (Li, Luo, Weng and Kitani, arXiv 2003.07340, 2020).

Later "Clothing Agnostic" (Li, Weng and Kitani, WACV 2021). In reading order:

    equations.py    what is minimised beside DG-Net's equations, and every weight
    networks.py     shape encoder, classifiers, domain critic and the reversed gradient
    method.py       the order of updates: encoders and generator, then the critic
    config.py       what a recipe may set; the presets and the switches
"""

from crosslight.methods.case_net.config import (
    PRESETS,
    CaseNetAsppConfig,
    CaseNetConfig,
    CaseNetReleasedConfig,
)
from crosslight.methods.case_net.method import CaseNet, CaseNetAspp, CaseNetReleased

__all__ = [
    "PRESETS",
    "CaseNet",
    "CaseNetAspp",
    "CaseNetAsppConfig",
    "CaseNetConfig",
    "CaseNetReleased",
    "CaseNetReleasedConfig",
]
