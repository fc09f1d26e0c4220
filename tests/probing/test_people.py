import numpy as np

from crosslight.data.promenade import load_world, make
from crosslight.probing.factors import factors_of
from crosslight.probing.people import People, Photographs, draw_people
from crosslight.types import Modality


def test_nobody_is_in_the_data_set_and_every_camera_sees_them_in_its_light(tmp_path):
    root = tmp_path / "world"
    make(root, preset="tiny", layout="sysu-mm01", height=32, width=16, workers=1)
    made = load_world(root)
    people = draw_people(made, 3)
    assert set(people.pids.tolist()).isdisjoint(made.table["pid"].to_list())
    assert len(people) == 3 * 6
    for pid in np.unique(people.pids):
        assert set(people.cams[people.pids == pid].tolist()) == {1, 2, 3, 4, 5, 6}
    infrared = people.cams[people.modality == Modality.INFRARED]
    assert set(infrared.tolist()) == {3, 6}
    more = draw_people(made, 1, first=2)
    np.testing.assert_array_equal(more.images, people.images[people.pids == people.pids.max()])


def test_the_pictures_are_those_that_the_data_set_would_have(people: People):
    scene = people.scenes[0]
    again = people.world.draw(scene, *people.size)
    np.testing.assert_array_equal(again.image, people.images[0])


def test_other_noise_changes_the_picture_a_little_and_the_mask_not_at_all(people: People):
    from dataclasses import replace

    retaken = people.world.draw(replace(people.scenes[0], grain=1), *people.size)
    gap = np.abs(retaken.image.astype(int) - people.images[0]).mean()
    assert 0 < gap < 8
    np.testing.assert_array_equal(retaken.mask, people.masks[0])


def test_of_photographs_only_camera_and_light_are_known(people: People):
    taken = Photographs(
        images=people.images, pids=people.pids, cams=people.cams, modality=people.modality
    )
    assert [factor.name for factor in factors_of(taken)] == ["camera", "light"]
    visible = people.of(Modality.VISIBLE)
    of_one_light = Photographs(
        images=people.images[visible],
        pids=people.pids[visible],
        cams=people.cams[visible],
        modality=people.modality[visible],
    )
    assert [factor.name for factor in factors_of(of_one_light)] == ["camera"]
    assert {"upper colour", "hair", "body shape", "pose"} <= {f.name for f in factors_of(people)}
