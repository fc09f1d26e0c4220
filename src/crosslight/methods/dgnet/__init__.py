"""DG-Net: joint discriminative and generative learning (Zheng et al., CVPR 2019).

In reading order:

    equations.py    what is minimised, equations 1 to 10 as the paper numbers them
    networks.py     appearance encoder, structure encoder, decoder
    pairs.py        a batch as the equations speak of it: i, j and their partners
    generator.py    drawing from two codes
    teacher.py      the classifier whose soft labels equation 8 follows
    method.py       the order of updates: critic, generator, identity
    config.py       what a recipe may set
"""

from crosslight.methods.dgnet.config import DGNetConfig, GenerationConfig
from crosslight.methods.dgnet.equations import ramped_weights
from crosslight.methods.dgnet.method import DGNet

__all__ = ["DGNet", "DGNetConfig", "GenerationConfig", "ramped_weights"]
