"""cmPIG: paired images of both lights, generated, align two levels (Wang et al., AAAI 2020).

In reading order:

    equations.py    what is minimised: the generator's losses, the critics', alignment, identity
    networks.py     the ResNet cut in two, style encoders, decoders
    translator.py   everything that draws, and who judges it
    pairs.py        which images of a batch are exchanged
    method.py       warm-up, then all together: the order of passes and updates
    config.py       what a recipe may set
"""

from crosslight.methods.cmpig.config import CmPIGConfig
from crosslight.methods.cmpig.method import CmPIG

__all__ = ["CmPIG", "CmPIGConfig"]
