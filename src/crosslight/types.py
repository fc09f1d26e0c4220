"""The words that every room shares."""

from enum import IntEnum
from typing import TypeAlias


class Modality(IntEnum):
    """The light in which an image was taken.

    `INFRARED` covers near-infrared and thermal cameras alike, as in the protocols of the field;
    which of the two it is belongs to the data set, not to the sample.
    """

    VISIBLE = 0
    INFRARED = 1


UNKNOWN_CAM = -1
"""The camera of a sample whose data set does not say."""

DeepRange: TypeAlias = tuple[float, float]
"""The values of black and of white in images of one channel with more than 8 bits."""

UNKNOWN_MODALITY = 255
"""The modality of a row of features whose file does not say."""
