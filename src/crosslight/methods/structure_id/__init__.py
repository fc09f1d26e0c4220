"""Identity from the structure code of DG-Net: a study's last approach (Jambigi, 2020), repaired.

In reading order:

    equations.py        what is minimised beside DG-Net's equations, and every weight
    body.py             from a structure code to identity vectors, and the two heads on them
    attribute_head.py   attributes of a person, predicted from the same vector
    method.py           the order of updates, for both methods
    config.py           what a recipe may set; the study's defects and their repairs
"""

from crosslight.methods.structure_id.config import (
    Proposed2020Config,
    StructureIdConfig,
)
from crosslight.methods.structure_id.method import Proposed2020, StructureIdentity

__all__ = ["Proposed2020", "Proposed2020Config", "StructureIdConfig", "StructureIdentity"]
