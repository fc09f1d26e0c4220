"""Approach 0: disentangling at the level of images (Jambigi, IISc, project slides, 2020).

In reading order:

    equations.py    what is minimised: reconstruction, cross, triplet, cycle
    networks.py     encoders and decoders
    method.py       one stage, an encoder and a decoder for each light
    config.py       what a recipe may set
"""

from crosslight.methods.unet_disentangle.config import UNetDisentangleConfig
from crosslight.methods.unet_disentangle.method import UNetDisentangle

__all__ = ["UNetDisentangle", "UNetDisentangleConfig"]
