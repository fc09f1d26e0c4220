"""The words that every room shares."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Literal, TypeAlias


class Modality(IntEnum):
    """The light in which an image was taken.

    `INFRARED` covers near-infrared and thermal cameras alike, as in the protocols of the field;
    which of the two it is belongs to the data set, not to the sample.
    """

    VISIBLE = 0
    INFRARED = 1


Light: TypeAlias = Literal["visible", "infrared"]
"""A `Modality`, as users write it."""

LIGHTS: Mapping[str, Modality] = {light.name.lower(): light for light in Modality}
"""`Light` to `Modality`."""

Distance: TypeAlias = Literal["cosine", "euclidean", "dot"]
"""What "near" can mean; of inner products ("dot") the larger is nearer."""

Doing: TypeAlias = Literal["embedding", "swapping", "translating"]
"""What a run may be asked for; weights of another program may not be enough for all of it."""

Accelerator: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]

UNKNOWN_CAM = -1
"""The camera of a sample whose data set does not say."""

Interpolation: TypeAlias = Literal["bilinear", "bicubic", "lanczos"]
"""How images are brought to a network's size."""

DeepRange: TypeAlias = tuple[float, float]
"""The values of black and of white in images of one channel with more than 8 bits."""

UNKNOWN_MODALITY = 255
"""The modality of a row of features whose file does not say."""
