import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from crosslight.data.promenade import Spectrum, World, true_swap, true_translation
from crosslight.data.promenade.factors import NOBODY, flatten, person_of, shot_of
from crosslight.data.promenade.world import CROWD_SIZE, CROWD_START
from crosslight.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def world() -> World:
    return World(5, 3000)


def test_person_depends_on_seed_and_number_only(world: World) -> None:
    other = World(5, 40)
    backwards = {pid: other.person(pid) for pid in (30, 7, 1)}
    assert all(world.person(pid) == person for pid, person in backwards.items())
    assert World(6, 40).person(7) != world.person(7)
    assert len({world.person(pid).body.height for pid in range(1, 41)}) == 40


def test_shot_depends_on_its_key_only(world: World) -> None:
    first = world.shot(2, 4, 3, Spectrum.VISIBLE)
    assert World(5, 50).shot(2, 4, 3, Spectrum.VISIBLE) == first
    others = [
        world.shot(3, 4, 3, Spectrum.VISIBLE),
        world.shot(2, 5, 3, Spectrum.VISIBLE),
        world.shot(2, 4, 4, Spectrum.VISIBLE),
        world.shot(2, 4, 3, Spectrum.THERMAL),
    ]
    assert all(other.pose != first.pose and other.view != first.view for other in others)


def test_folds_and_noise_are_no_cue_of_identity(world: World) -> None:
    shots = [world.shot(1, 1, index, Spectrum.VISIBLE) for index in range(6)]
    assert len({shot.pose.fold_seed for shot in shots}) == 6
    assert len({shot.view.seed for shot in shots}) == 6


def test_strangers_never_have_a_number_of_the_split(world: World) -> None:
    met = set()
    for pid in range(1, 200):
        view = world.shot(pid, 1 + pid % 6, 0, Spectrum.VISIBLE).view
        met |= {view.bystander, view.passer} - {NOBODY}
    assert len(met) > 20
    assert met <= set(range(CROWD_START, CROWD_START + CROWD_SIZE))


def test_unknown_people_seeds_and_difficulties_are_refused(world: World) -> None:
    with pytest.raises(DataError, match="nobody has number 3001"):
        world.person(3001)
    with pytest.raises(DataError, match="nobody has number 0"):
        world.person(0)
    with pytest.raises(DataError, match="seed is -1"):
        World(-1, 10)
    with pytest.raises(ConfigError, match="easy, default, hard"):
        World(0, 10, difficulty="brutal")


def test_factors_survive_a_row(world: World) -> None:
    person, shot = world.person(4), world.shot(4, 3, 1, Spectrum.NEAR_INFRARED)
    row = flatten(person, shot) | {
        "person": 4,
        "camera": 3,
        "index": 1,
        "spectrum": "near-infrared",
    }
    assert person_of(row) == person
    assert shot_of(row) == shot


def test_near_infrared_and_heat_are_weakly_tied_to_colour(world: World) -> None:
    cloth = [
        material
        for pid in range(1, 1501)
        for material in (world.person(pid).look.upper, world.person(pid).look.lower)
    ]
    luminance = [material.luminance for material in cloth]
    infrared = [material.infrared for material in cloth]
    insulation = [material.insulation for material in cloth]
    assert 0.05 < np.corrcoef(luminance, infrared)[0, 1] < 0.5
    assert abs(np.corrcoef(luminance, insulation)[0, 1]) < 0.1
    assert abs(np.corrcoef(infrared, insulation)[0, 1]) < 0.1


def test_difficulty_turns_its_knobs() -> None:
    def share_of_bags(difficulty: str) -> float:
        world = World(1, 400, difficulty=difficulty)
        return float(np.mean([world.person(pid).cut.bag != "none" for pid in range(1, 401)]))

    def exposure_spread(difficulty: str) -> float:
        world = World(1, 300, difficulty=difficulty)
        shots = [world.shot(pid, 1, 0, Spectrum.VISIBLE) for pid in range(1, 301)]
        return float(np.std([np.log(shot.view.exposure) for shot in shots]))

    assert share_of_bags("easy") > share_of_bags("default") > share_of_bags("hard")
    assert exposure_spread("easy") < exposure_spread("default") < exposure_spread("hard")


@pytest.mark.parametrize("camera", range(1, 7))
@pytest.mark.parametrize("spectrum", list(Spectrum))
def test_every_camera_sees_in_every_spectrum(world: World, camera: int, spectrum: Spectrum) -> None:
    picture = world.picture(world.shot(8, camera, 0, spectrum), 64, 32)
    image = picture.image
    assert image.shape == (64, 32, 3)
    assert image.dtype == np.uint8
    assert image.std() > 5
    assert 0.08 < picture.mask.mean() < 0.8
    equal = (image == image[..., :1]).all()
    assert equal == (spectrum != Spectrum.VISIBLE)


def test_rendering_repeats_itself(world: World) -> None:
    shot = world.shot(9, 4, 0, Spectrum.VISIBLE)
    again = World(5, 3000)
    np.testing.assert_array_equal(world.render(shot, 64, 32), again.render(shot, 64, 32))


@pytest.mark.parametrize(
    ("spectrum", "camera", "inside", "outside"),
    [
        (Spectrum.VISIBLE, 1, 20.0, 0.3),
        (Spectrum.VISIBLE, 4, 20.0, 0.3),
        (Spectrum.NEAR_INFRARED, 3, 12.0, 0.3),
        (Spectrum.THERMAL, 4, 2.5, 0.3),
    ],
)
def test_swap_changes_the_person_and_nothing_else(
    world: World, spectrum: Spectrum, camera: int, inside: float, outside: float
) -> None:
    changed, leaked = [], []
    for pid in range(1, 7):
        structure = world.shot(pid, camera, 0, spectrum)
        appearance = world.shot(pid + 17, 2, 1, Spectrum.VISIBLE)
        picture = world.picture(structure, 128, 64)
        swapped = true_swap(world, appearance, structure, 128, 64)
        difference = np.abs(picture.image.astype(float) - swapped).mean(-1)
        far = ~binary_dilation(picture.mask, iterations=12)
        changed.append(difference[picture.mask].mean())
        leaked.append(difference[far].mean() if far.any() else 0.0)
    assert np.mean(changed) > inside
    assert np.mean(leaked) < outside


def test_swap_with_oneself_changes_nothing(world: World) -> None:
    shot = world.shot(3, 5, 0, Spectrum.VISIBLE)
    appearance = world.shot(3, 1, 4, Spectrum.VISIBLE)
    np.testing.assert_array_equal(
        true_swap(world, appearance, shot, 64, 32), world.render(shot, 64, 32)
    )


def test_translation_keeps_the_silhouette(world: World) -> None:
    for pid in range(1, 6):
        shot = world.shot(pid, 4, 0, Spectrum.VISIBLE)
        masks = [world.picture(shot.seen_in(spectrum), 64, 32).mask for spectrum in Spectrum]
        np.testing.assert_array_equal(masks[0], masks[1])
        np.testing.assert_array_equal(masks[0], masks[2])
        translated = true_translation(world, shot, Spectrum.THERMAL, 64, 32)
        assert (translated == translated[..., :1]).all()


def test_skin_is_warmest(world: World) -> None:
    """In the thermal image the person is brighter than the place, whatever the clothes."""
    for pid in range(1, 9):
        picture = world.picture(world.shot(pid, 6, 0, Spectrum.THERMAL), 64, 32)
        assert picture.image[picture.mask].mean() > picture.image[~picture.mask].mean()


def test_impossible_sizes_are_refused(world: World) -> None:
    shot = world.shot(1, 1, 0, Spectrum.VISIBLE)
    with pytest.raises(ConfigError, match="height of 4 pixels"):
        world.render(shot, 4, 32)
    with pytest.raises(ConfigError, match="width of 9999 pixels"):
        world.render(shot, 64, 9999)
