"""What is enrolled from folders, tables and images, and what becomes of broken ones."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from crosslight.data.folders import PassedOver
from crosslight.errors import ConfigError, DataError, GalleryError
from crosslight.gallery.contradictions import each_once
from crosslight.gallery.enrolment import enrol
from crosslight.gallery.people.names import names_of
from crosslight.gallery.sources import candidates_from, is_video
from crosslight.gallery.stores.opening import create_like, open_store
from crosslight.gallery.stores.rows import Filter
from tests.gallery.rows import DIM, INFO
from tests.gallery.writer import EMBEDDER


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        path = tmp_path / "images" / f"cam{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 40), (40 * number, 9, 90)).save(path)
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    return tmp_path / "images"


@pytest.fixture
def store(tmp_path):
    with create_like(tmp_path / "people.lance", INFO) as made:
        yield made


def test_a_folder_is_enrolled_once_and_not_even_read_again(store, folder):
    first = enrol(store, EMBEDDER, candidates_from(str(folder), cam=7))
    found = candidates_from(str(folder))
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    again = enrol(store, EMBEDDER, found)
    assert (first.added, again.added, again.present, again.unreadable) == (6, 0, 6, [])
    assert store.count(Filter(cams=frozenset({7}))) == 6


def thermal(path):
    path.parent.mkdir(exist_ok=True)
    kelvin = np.linspace(2900, 3200, 40 * 20).astype(np.uint16).reshape(40, 20)
    Image.fromarray(kelvin).save(path)
    return path.parent


def spread(store, row):
    thumbnail = store.get([row]).frame["thumbnail"][0]
    return np.asarray(Image.open(io.BytesIO(thumbnail)).convert("L")).std()


def test_a_store_reads_deep_images_by_the_range_that_it_keeps(store, tmp_path):
    folder = thermal(tmp_path / "thermal" / "1.png")
    flat = enrol(store, EMBEDDER, candidates_from(str(folder)))
    (row,) = store.frame()["id"]
    assert flat.depths.narrow == 1
    assert spread(store, row) < 2
    store.remove_ids([row])
    store.set_range((2900, 3200))
    with open_store(store.location) as again:
        assert again.info.deep_range == (2900.0, 3200.0)
    seen = enrol(store, EMBEDDER, candidates_from(str(folder)))
    assert (seen.added, seen.depths.narrow) == (1, 0)
    assert spread(store, row) > 50
    with create_like(tmp_path / "copy.exact", store.info) as copied:
        assert copied.info.deep_range == (2900, 3200)


def test_images_of_another_camera_can_have_a_range_of_their_own(store, tmp_path):
    folder = thermal(tmp_path / "thermal" / "1.png")
    store.set_range((20000, 30000))
    seen = enrol(store, EMBEDDER, candidates_from(str(folder)), deep_range=(2900, 3200))
    assert seen.depths.narrow == 0
    assert spread(store, store.frame()["id"][0]) > 50
    assert store.info.deep_range == (20000, 30000)


def test_unreadable_images_are_listed_and_nothing_else_is_lost(store, folder):
    (folder / "cam0" / "2.png").write_bytes(b"broken")
    (folder / "cam1" / "3.png").write_bytes(b"")
    outcome = enrol(store, EMBEDDER, candidates_from(str(folder)))
    assert outcome.added == store.count() == 4
    assert [path.rsplit("/", 1)[1] for path, _ in outcome.unreadable] == ["2.png", "3.png"]
    assert all(reason.endswith(".") for _, reason in outcome.unreadable)


def test_a_table_says_who_where_and_when(store, folder, tmp_path):
    table = tmp_path / "people.csv"
    table.write_text(
        "path,pid,cam,modality,split,track,time\n"
        "images/cam0/0.png,5,1,visible,a,t1,1.5\n"
        "images/cam1/1.png,-1,2,infrared,a,,\n"
        "images/cam0/2.png,6,3,visible,b,,\n"
    )
    enrol(store, EMBEDDER, candidates_from(str(table), splits=("a",)))
    rows = store.frame().sort("cam").to_dicts()
    assert [(r["pid"], r["cam"], r["modality"], r["track"], r["time"]) for r in rows] == [
        (5, 1, 0, "t1", 1.5),
        (None, 2, 1, None, None),
    ]
    thumbnail = store.get([rows[0]["id"]]).frame["thumbnail"][0]
    assert thumbnail.startswith(b"\xff\xd8")


NAMED = (
    "File,Person,Camera\n"
    "images/cam0/0.png,Anna,Eingang Nord\n"
    "images/cam1/1.png,  anna ,7\n"
    "images/cam0/2.png,12,Hof\n"
    "images/cam1/3.png,,Hof\n"
    "images/cam0/4.png,Jörg,?\n"
    "images/cam1/5.png,unknown,eingang  nord\n"
)


def test_a_table_with_names_names_what_is_there_already(store, folder, tmp_path):
    enrol(store, EMBEDDER, candidates_from(str(folder)))
    assert store.frame()["pid"].null_count() == 6
    table = tmp_path / "people.csv"
    table.write_text(NAMED, encoding="utf-8")
    for _ in range(2):
        found = candidates_from(str(table), called={"path": "File"})
        outcome = enrol(store, EMBEDDER, found)
        names = names_of(store)
        rows = {row["path"][-5]: row for row in store.frame().iter_rows(named=True)}
        told = [names.people.get(rows[n]["pid"], rows[n]["pid"]) for n in "012345"]
        assert told == ["Anna", "Anna", 12, None, "Jörg", None]
        told = [names.cameras.get(rows[n]["cam"], rows[n]["cam"]) for n in "012345"]
        assert told == ["Eingang Nord", 7, "Hof", "Hof", -1, "Eingang Nord"]
        assert len({12, *names.people}) == 3
        assert len({7, *names.cameras}) == 3
    assert (outcome.added, outcome.present, outcome.relabelled) == (0, 6, 0)


def test_a_person_and_a_camera_may_be_stated_by_name(store, folder):
    enrol(store, EMBEDDER, candidates_from(str(folder), cam="Hof", pid="Anna"))
    assert set(store.frame().select("pid", "cam").iter_rows()) == {(1, 1)}
    assert names_of(store).people == {1: "Anna"}
    assert names_of(store).cameras == {1: "Hof"}


def test_a_name_of_whom_no_image_could_be_read_is_not_kept(store, folder, tmp_path):
    (folder / "cam0" / "2.png").write_bytes(b"broken")
    table = tmp_path / "people.csv"
    lines = ["path,person", "images/cam0/2.png,Secret Name", "images/cam0/0.png,Anna"]
    table.write_text("\n".join(lines) + "\n")
    outcome = enrol(store, EMBEDDER, candidates_from(str(table)))
    assert (outcome.added, len(outcome.unreadable)) == (1, 1)
    assert list(names_of(store).people.values()) == ["Anna"]
    assert b"Secret Name" not in (tmp_path / "people.lance" / "people.sqlite").read_bytes()
    enrol(store, EMBEDDER, candidates_from(str(table)))  # and another time nothing is lost
    assert list(names_of(store).people.values()) == ["Anna"]


def test_light_that_a_table_does_not_state_is_guessed(store, folder, tmp_path):
    Image.new("L", (20, 40), 99).save(folder / "gray.png")
    Image.new("L", (20, 40), 98).save(folder / "stated.png")
    table = tmp_path / "people.csv"

    def lights():
        found = store.frame().iter_rows(named=True)
        return {row["path"].rsplit("/", 1)[1]: row["modality"] for row in found}

    table.write_text("path,pid\nimages/gray.png,1\nimages/cam0/0.png,2\n")
    enrol(store, EMBEDDER, candidates_from(str(table)))
    assert lights() == {"gray.png": 1, "0.png": 0}
    table.write_text(
        "path,pid,modality\nimages/cam1/1.png,1,infrared\nimages/stated.png,2,visible\n"
        "images/cam0/2.png,3,\nimages/gray.png,3,\n"
    )
    enrol(store, EMBEDDER, candidates_from(str(table)))
    assert lights() == {"gray.png": 1, "0.png": 0, "1.png": 1, "stated.png": 0, "2.png": 0}


@pytest.mark.parametrize("bad", ["1.5", "track:x", "x" * 101])
def test_a_cell_that_is_neither_number_nor_name_is_told(store, folder, tmp_path, bad):
    table = tmp_path / "people.csv"
    table.write_text(f"path,person\nimages/cam0/0.png,Anna\nimages/cam1/1.png,{bad}\n")
    with pytest.raises((DataError, ConfigError), match=r"expected a whole number|is no name"):
        enrol(store, EMBEDDER, candidates_from(str(table)))
    assert store.count() == 0
    assert names_of(store).people == {}


def test_sources_that_hold_nothing_are_told(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        candidates_from(str(tmp_path / "empty"))
    with pytest.raises(DataError, match="There is nothing at"):
        candidates_from(str(tmp_path / "missing"))


def test_hidden_files_are_left_out_and_the_rest_is_counted(folder):
    (folder / "._0.png").write_bytes(b"\0\5\x16\7")
    (folder / "phone.heic").write_bytes(b"x")
    (folder.parent / "linked").mkdir()
    (folder.parent / "linked" / "images").symlink_to(folder)
    left = PassedOver()
    found = candidates_from(str(folder.parent / "linked"), passed_over=left)
    assert len(found) == 6
    assert left.told() == "2 files passed over: .heic 1 (convert them to JPEG), .txt 1"


def test_a_folder_without_an_image_says_what_is_there_instead(tmp_path):
    (tmp_path / "phone.heic").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds no image \(1 file passed over: .heic 1 "):
        candidates_from(str(tmp_path))


@pytest.mark.parametrize("name", ["a.mts", "b.H264", "c.MP4", "d.hevc"])
def test_a_video_is_told_by_its_ending_but_a_folder_is_none(tmp_path, name):
    assert is_video(str(tmp_path / name))
    (tmp_path / name).mkdir()
    assert not is_video(str(tmp_path / name))


def test_stores_that_are_not_there_or_damaged_are_told(tmp_path):
    with pytest.raises(GalleryError, match="crosslight gallery create"):
        open_store(tmp_path / "none.lance")
    create_like(tmp_path / "people.exact", INFO).close()
    description = tmp_path / "people.exact" / "store.json"
    description.write_text(description.read_text().replace('"format": 1', '"format": 9'))
    with pytest.raises(GalleryError, match="has the format 9"):
        open_store(tmp_path / "people.exact")
    description.write_text("nonsense")
    with pytest.raises(GalleryError, match="is damaged"):
        open_store(tmp_path / "people.exact")


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_what_is_stated_later_is_written_and_what_is_not_stated_stays(tmp_path, folder, kind):
    with create_like(tmp_path / f"people.{kind}", INFO) as store:
        first = enrol(store, EMBEDDER, candidates_from(str(folder), cam=7, pid=3))
        vectors = store.get(store.frame()["id"].to_list()).vectors
        again = enrol(store, EMBEDDER, candidates_from(str(folder), cam=8))
        assert (first.relabelled, again.added, again.present, again.relabelled) == (0, 0, 6, 6)
        assert set(store.frame()["cam"]) == {8}
        assert set(store.frame()["pid"]) == {3}
        assert (store.get(store.frame()["id"].to_list()).vectors == vectors).all()
        third = enrol(store, EMBEDDER, candidates_from(str(folder)))
        assert (third.present, third.relabelled) == (6, 0)
        assert set(store.frame()["cam"]) == {8}


def test_a_table_labels_images_that_were_enrolled_without_labels(store, folder, tmp_path):
    enrol(store, EMBEDDER, candidates_from(str(folder), modality=1))
    table = tmp_path / "people.csv"
    table.write_text(
        "path,pid,cam,track,time\nimages/cam0/0.png,5,1,t1,1.5\nimages/cam1/1.png,-1,2,,\n"
    )
    outcome = enrol(store, EMBEDDER, candidates_from(str(table)))
    assert (outcome.added, outcome.present, outcome.relabelled) == (0, 2, 2)
    rows = store.frame(Filter(cams=frozenset({1, 2}))).sort("cam").to_dicts()
    # The light was stated before, and the table has no column for it.
    assert [(r["pid"], r["cam"], r["modality"], r["track"], r["time"]) for r in rows] == [
        (5, 1, 1, "t1", 1.5),
        (None, 2, 1, None, None),
    ]
    assert store.count() == 6


def test_another_light_is_embedded_anew(store, folder):
    def embed(images, modality):
        return np.array([[1.0 + light, 1.0 - light] + [0.0] * (DIM - 2) for light in modality])

    embedder = replace(EMBEDDER, embed=embed)
    enrol(store, embedder, candidates_from(str(folder), modality=0, cam=4))
    outcome = enrol(store, embedder, candidates_from(str(folder), modality=1))
    assert (outcome.added, outcome.present, outcome.relabelled) == (0, 6, 6)
    rows = store.get(store.frame()["id"].to_list())
    assert set(rows.frame["modality"]) == {1}
    assert set(rows.frame["cam"]) == {4}
    np.testing.assert_allclose(rows.vectors[:, :2], np.array([[1.0, 0.0]] * 6), atol=1e-3)


def test_an_image_that_is_named_twice_is_enrolled_once_and_contradictions_are_told(
    folder, tmp_path
):
    table = tmp_path / "people.csv"
    table.write_text(
        "path,pid,cam,modality\nimages/cam0/0.png,5,1,visible\nimages/cam1/1.png,6,2,visible\n"
        "images/cam0/../cam0/0.png,7,1,visible\n"
    )
    named = [*candidates_from(str(folder)), *candidates_from(str(table))]
    kept, contradictions = each_once(named)
    assert len(kept) == 6
    by_name = {candidate.path.rsplit("/", 1)[1]: candidate for candidate in kept}
    assert (by_name["0.png"].pid, by_name["1.png"].pid, by_name["1.png"].cam) == (5, 6, 2)
    place = folder / "cam0" / "0.png"
    assert contradictions == [
        f"{place} is named with person 5 and with person 7; the first counts."
    ]
