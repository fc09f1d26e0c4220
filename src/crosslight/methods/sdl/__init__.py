"""SDL: spectrum-disentangled representation learning (Kansal et al., IEEE TCSVT 30(10), 2020).

In reading order:

    equations.py    what is minimised, and every weight
    networks.py     the branches x, u and v behind two streams
    method.py       one iteration, what is matched, and the codes
    config.py       what a recipe may set; the ablations as switches
"""

from crosslight.methods.sdl.config import SDLConfig, SDLReleasedConfig
from crosslight.methods.sdl.method import SDL, SDLReleased

__all__ = ["SDL", "SDLConfig", "SDLReleased", "SDLReleasedConfig"]
