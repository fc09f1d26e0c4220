"""How hard the data set is: the knobs, by name, and three settings of them."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from crosslight.errors import ConfigError

DifficultyName: TypeAlias = Literal["easy", "default", "hard"]


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """The knobs of difficulty, strongest first.

    Attributes:
        chroma: Scales the probability that a garment is strongly coloured.
        wardrobe_share: Probability that a garment is one that several people own.
        infrared_link: Weight of the visible brightness in the near-infrared brightness of cloth.
        infrared_contrast: Probability that a pattern can be seen in the near-infrared.
        accessories: Scales the probability of bags, hats and scarves.
        exposure: Scales the spread of the exposure.
        tint: Scales the spread of the white balance.
        resolution: Scales the resolution of the sensors.
        blur: Scales defocus and motion blur.
        nuisance: Scales crop jitter and the probability of obstacles and bystanders.
    """

    chroma: float = 1.0
    wardrobe_share: float = 0.5
    infrared_link: float = 0.20
    infrared_contrast: float = 0.6
    accessories: float = 1.0
    exposure: float = 1.0
    tint: float = 1.0
    resolution: float = 1.0
    blur: float = 1.0
    nuisance: float = 1.0


DIFFICULTIES: dict[str, Difficulty] = {
    "easy": Difficulty(
        chroma=1.6,
        wardrobe_share=0.2,
        infrared_link=0.42,
        infrared_contrast=0.85,
        accessories=1.5,
        exposure=0.5,
        tint=0.5,
        resolution=1.3,
        blur=0.6,
        nuisance=0.35,
    ),
    "default": Difficulty(),
    "hard": Difficulty(
        chroma=0.6,
        wardrobe_share=0.7,
        infrared_link=0.08,
        infrared_contrast=0.35,
        accessories=0.7,
        exposure=1.3,
        tint=1.5,
        resolution=0.8,
        blur=1.3,
        nuisance=1.6,
    ),
}


def difficulty_named(name: str) -> Difficulty:
    """The setting called `easy`, `default` or `hard`.

    Raises:
        ConfigError: There is no setting of that name.
    """
    if name not in DIFFICULTIES:
        raise ConfigError(
            f"there is no difficulty {name!r}: type one of {', '.join(DIFFICULTIES)}."
        )
    return DIFFICULTIES[name]
