"""Hi-CMD: hierarchical cross-modality disentanglement (Choi et al., CVPR 2020).

In reading order:

    equations.py    what is minimised, and the vector that people are matched by
    networks.py     attribute and its parts, prototype's vector, the critics
    pairs.py        a batch taken apart: people drawn in each other's light, and strangers
    method.py       the order of updates: critics, then everything else in one step
    config.py       what a recipe may set
"""

from crosslight.methods.hicmd.config import HiCMDConfig
from crosslight.methods.hicmd.method import HiCMD

__all__ = ["HiCMD", "HiCMDConfig"]
