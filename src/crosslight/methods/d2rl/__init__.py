"""D2RL: dual-level discrepancy reduction (Wang et al., CVPR 2019).

In reading order:

    image_level.py      T_I, the networks that draw each light in the other
    feature_level.py    T_F, the ResNet on unified images and its heads
    equations.py        what both minimise: L_I, then L_F
    method.py           unified images, and the order of updates in the three stages
    config.py           what a recipe may set
"""

from crosslight.methods.d2rl.config import D2RLConfig
from crosslight.methods.d2rl.method import D2RL

__all__ = ["D2RL", "D2RLConfig"]
