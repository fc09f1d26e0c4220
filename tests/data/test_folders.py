"""What is taken from a folder: hidden things never, linked folders once, the rest counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crosslight.data.folders import PassedOver, images_below, is_image_name
from crosslight.data.layouts.listing import image_names
from crosslight.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in images_below(root)]


def test_hidden_things_are_not_seen_and_not_counted(tmp_path):
    touch(tmp_path, "a.jpg", "._a.jpg", ".thumbnails/t.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg")
    touch(tmp_path, "__MACOSX/b.png", "Thumbs.db", "b/desktop.ini", "$RECYCLE.BIN/c.jpg")
    left = PassedOver()
    assert images_below(tmp_path, passed_over=left) == [tmp_path / "a.jpg"]
    assert (left.count, left.told()) == (0, "")


def test_a_folder_that_is_hidden_itself_can_be_given(tmp_path):
    touch(tmp_path, ".cache/a.jpg")
    assert images_below(tmp_path / ".cache") == [tmp_path / ".cache" / "a.jpg"]


def test_what_is_passed_over_is_counted_by_ending(tmp_path):
    touch(tmp_path, "a.PGM", "b/c.jfif", "b/notes.TXT", "x.heic", "y.HEIC", "README", "f.mp4")
    left = PassedOver()
    assert len(images_below(tmp_path, passed_over=left)) == 2
    assert left.count == 5
    assert left.told() == (
        "5 files passed over: .heic 2 (convert them to JPEG), without ending 1, "
        ".mp4 1 (enrol a video by itself), .txt 1"
    )


def test_linked_folders_are_followed_and_each_is_entered_once(tmp_path):
    touch(tmp_path, "far/away/1.jpg", "all/cam2/2.jpg")
    (tmp_path / "all/cam1").symlink_to("../far/away")
    (tmp_path / "all/a-link").symlink_to("cam2")
    (tmp_path / "all/cam1-again").symlink_to(tmp_path / "far")
    assert found(tmp_path / "all") == ["cam1/1.jpg", "cam2/2.jpg"]


@pytest.mark.parametrize("target", [".", "..", "b", "../all/b", "/", "loop"])
def test_links_that_lead_back_end(tmp_path, target):
    touch(tmp_path, "all/a.jpg", "all/b/b.jpg", "beside.jpg")
    (tmp_path / "all/b/loop").symlink_to(target)
    (tmp_path / "all/loop").symlink_to(target)
    assert found(tmp_path / "all") == ["a.jpg", "b/b.jpg"]


def test_links_that_lead_nowhere_are_images_of_a_layout_too(tmp_path):
    for name, target in (("a.jpg", "gone"), ("b.jpg", "b.jpg"), ("c.jpg", "real"), ("d", "gone")):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "real").write_bytes(b"")
    (tmp_path / "e.jpg").mkdir()
    os.mkfifo(tmp_path / "f.jpg")
    assert image_names(tmp_path) == ["a.jpg", "b.jpg", "c.jpg"]


def test_a_broken_link_is_an_image_that_will_be_missed_and_a_pipe_is_none(tmp_path):
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    left = PassedOver()
    assert images_below(tmp_path, passed_over=left) == [tmp_path / "gone.jpg"]
    assert left.told() == "1 file passed over: .jpg 1"


def test_what_is_no_folder_is_said(tmp_path):
    touch(tmp_path, "a.jpg")
    with pytest.raises(DataError, match=r"cannot be read .*check the path"):
        images_below(tmp_path / "a.jpg")


def test_layouts_take_the_same_files(tmp_path):
    touch(tmp_path, "b.JFIF", "a.pgm", "c.jp2", "d.gif", "._a.pgm", "e.txt", "Thumbs.db", "f.j2k")
    assert image_names(tmp_path) == ["a.pgm", "b.JFIF", "c.jp2", "d.gif", "f.j2k"]
    assert [path.name for path in images_below(tmp_path)] == image_names(tmp_path)
    assert is_image_name("x.PNM")
    assert not is_image_name("png")
