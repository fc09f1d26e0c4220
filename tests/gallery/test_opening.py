"""What is told where a store cannot be made, or is not."""

from pathlib import Path

import pytest

from crosslight.errors import GalleryError
from crosslight.gallery.stores.opening import create_like, open_store
from tests.gallery.rows import INFO


def a_file(place: Path) -> None:
    place.write_bytes(b"no store")


def a_folder(place: Path) -> None:
    place.mkdir()
    (place / "photo.jpg").write_bytes(b"")


def a_dangling_link(place: Path) -> None:
    place.symlink_to("nowhere")


@pytest.mark.parametrize("ending", ["exact", "lance", "milvus"])
@pytest.mark.parametrize(
    ("put", "words"),
    [
        (a_file, "a file"),
        (a_folder, "a folder that is not empty"),
        (a_dangling_link, "a link to what is not there"),
    ],
)
def test_what_stands_in_the_place_of_a_store_is_named_and_stays(tmp_path: Path, ending, put, words):
    if ending == "milvus":
        pytest.importorskip("pymilvus", reason="say: pip install 'crosslight[milvus]'")
    place = tmp_path / f"people.{ending}"
    put(place)
    with pytest.raises(GalleryError, match=f"is {words}, not a store; check the name"):
        open_store(place)
    with pytest.raises(GalleryError, match=f"is {words}; give the new store another name"):
        create_like(place, INFO)
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("ending", ["exact", "lance", "milvus"])
@pytest.mark.parametrize("outer", ["exact", "lance", "milvus"])
def test_no_store_is_made_inside_another_which_a_removal_there_would_not_reach(
    tmp_path: Path, outer: str, ending: str
):
    if "milvus" in (outer, ending):
        pytest.importorskip("pymilvus", reason="say: pip install 'crosslight[milvus]'")
    store, link = tmp_path / f"people.{outer}", tmp_path / "link"
    create_like(store, INFO).close()
    link.symlink_to(store, target_is_directory=True)
    before = sorted(store.rglob("*"))
    for place in (store / f"backup.{ending}", store / "a" / f"b.{ending}", link / f"c.{ending}"):
        with pytest.raises(GalleryError, match=f"would lie inside the store {store}, whose"):
            create_like(place, INFO)
    assert sorted(store.rglob("*")) == before
