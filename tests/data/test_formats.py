"""One list of endings; and of files that are not read, what they are and what helps."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from crosslight.data.formats import IMAGE_ENDINGS, RAW_ENDINGS, VIDEO_ENDINGS
from crosslight.data.images import HAS_AVIF, decode_image, read_image, size_of
from crosslight.errors import DataError

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8))
PILLOW_CALLS_IT = {".pbm": "PPM", ".jif": "JPEG", ".pfm": None, ".apng": "PNG"}


def box(major: bytes, *compatible: bytes) -> bytes:
    brands = major + b"\0\0\0\0" + b"".join(compatible)
    return (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + b"\0" * 100


def packed(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.jpg", b"x" * 50)
    else:
        np.save(file, np.zeros((4, 4)))
    return file.getvalue()


def drawn(kind: str) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, format=kind)
    return file.getvalue()


UNREAD = {
    "heic": (box(b"heic", b"mif1", b"heic"), "HEIC.*convert it to JPEG"),
    "heic, general brand first": (box(b"mif1", b"mif1", b"heic"), "HEIC.*convert it to JPEG"),
    "canon's raw file": (box(b"crx ", b"isom"), "raw file.*export it"),
    "psd": (b"8BPS\0\1" + b"\0" * 20, "Photoshop.*convert it"),
    "pdf": (drawn("PDF"), "PDF.*export its pictures"),
    "eps": (drawn("EPS"), "PostScript.*convert it"),
    "icon": (drawn("ICO"), "icon.*convert it"),
    "svg": (b'<?xml version="1.0"?>\n<svg width="3"/>', "SVG.*convert it"),
    "web page": (b"\n<!DOCTYPE html><html>Not found</html>", "web page.*download the image itself"),
    "jpeg xl": (b"\xff\x0a\x00\x10" + b"\0" * 50, "JPEG XL.*convert it"),
    "array": (packed("npy"), "NumPy array.*save each picture"),
    "archive": (packed("zip"), "archive.*unpack it"),
    "gzip": (gzip.compress(b"x" * 100), "gzip.*unpack it"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
    "film": (box(b"isom", b"isom", b"avc1"), "video.*by itself"),
    "side file": (b"\0\5\x16\7\0\2\0\0Mac OS X        ", "side file of macOS.*remove it"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_read_is_named_with_its_remedy(tmp_path, name):
    content, told = UNREAD[name]
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    for read in (read_image, size_of, lambda _: decode_image(content, name=str(path))):
        with pytest.raises(DataError, match=told) as failure:
            read(path)
        assert "copy it again" not in str(failure.value)
        assert str(failure.value).endswith(".")


@pytest.mark.parametrize("content", [b"hello", b"\x89PNG", b"<p>text</p>", b"\0" * 40])
def test_what_nobody_can_name_is_to_be_copied_again(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"is not an image; expected .*copy it again"):
        read_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("name", ["x.NEF", "x.dng"])
def test_the_preview_in_a_raw_file_is_not_taken_for_the_picture(tmp_path, name):
    PICTURE.save(tmp_path / name, format="TIFF")
    for read in (read_image, size_of):
        with pytest.raises(DataError, match=r"raw file.*export it as JPEG"):
            read(tmp_path / name)
    (tmp_path / name).write_bytes(drawn("PNG"))
    assert read_image(tmp_path / name).size == PICTURE.size


@pytest.mark.parametrize("ending", sorted(IMAGE_ENDINGS))
def test_every_ending_on_the_list_can_be_read(tmp_path, ending):
    if ending == ".avif" and not HAS_AVIF:
        pytest.skip("this Pillow was built without AVIF; install a newer one")
    path = tmp_path / f"x{ending}"
    mode = {".pbm": "1", ".pgm": "L", ".pfm": "F"}.get(ending, "RGB")
    picture = PICTURE.convert(mode)
    if mode == "F":
        picture = picture.point(lambda value: value * (1 / 255))
    picture.save(path, **({"format": name} if (name := PILLOW_CALLS_IT.get(ending)) else {}))
    assert read_image(path).size == PICTURE.size
    assert size_of(path) == (PICTURE.height, PICTURE.width)


def test_the_lists_do_not_overlap():
    lists = (IMAGE_ENDINGS, VIDEO_ENDINGS, RAW_ENDINGS)
    assert len(frozenset.union(*lists)) == sum(map(len, lists))
    assert all(e == e.lower() and e.startswith(".") for e in frozenset.union(*lists))
