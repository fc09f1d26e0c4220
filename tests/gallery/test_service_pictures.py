"""Images that come in broken, too large or with more in them than pixels."""

from __future__ import annotations

import base64
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from crosslight.data.images import decode_image
from crosslight.errors import DataError
from crosslight.gallery.service.app import create_app
from crosslight.gallery.service.limits import Limits
from crosslight.gallery.service.pictures import PictureCache, as_jpeg
from tests.gallery.served import SECRET_FOLDER, encoded, made_searcher, picture, row_id

SECRET = b"the payload behind the pixels"


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises a large image."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


GOOD = encoded(picture(1, 1))
BROKEN = {
    "empty": b"",
    "text": b"hello",
    "html": b"<html><script>alert(1)</script>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "zip": b"PK\x03\x04" + bytes(100),
    "pdf": b"%PDF-1.7\n%%EOF",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "truncated PNG": GOOD[: len(GOOD) // 2],
    "truncated JPEG": encoded(picture(1, 1), "JPEG")[:300],
    "header alone": GOOD[:33],
    "PNG of 4 billion pixels": png_claiming(65535, 65535),
    "PNG of 17 million pixels": png_claiming(4200, 4200),
    "PNG of no pixels": png_claiming(0, 0),
    "PNG without rows": png_claiming(1000, 1000),
    "BMP claiming a gigapixel": b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 30000, 40000, 1, 24, 0, 0, 0, 0, 0, 0
    ),
    "TIFF pointing nowhere": b"II*\0\xff\xff\xff\xff",
    "GIF without a picture": b"GIF89a\x01\0\x01\0\0\0\0;",
}  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> TestClient:
    folder = tmp_path_factory.mktemp("service")
    searcher = made_searcher(folder / "people.exact", people=2, drawing=True)
    limits = Limits(searches_per_minute=10**9)
    return TestClient(create_app(searcher, limits=limits), base_url="http://127.0.0.1")


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("path", ["/api/search", "/api/draw", "/api/boxes"])
def test_a_broken_image_is_a_422_with_a_sentence(client, name: str, path: str) -> None:
    fields = {"kind": "translation"} if path == "/api/draw" else None
    reply = client.post(path, files={"image": BROKEN[name]}, data=fields)
    assert reply.status_code == 422
    sentence = reply.json()["error"]
    assert sentence.startswith("The upload ")
    assert "Traceback" not in sentence


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_of_two_is_a_422_with_a_sentence(client, name: str) -> None:
    files = {"first": encoded(picture(1, 1)), "second": BROKEN[name]}
    reply = client.post("/api/same", files=files)
    assert reply.status_code == 422
    assert reply.json()["error"].startswith("The upload ")


def test_a_body_that_is_no_form_is_refused(client) -> None:
    kinds = (
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "image/png",
        "application/json",
    )
    for kind in kinds:
        for body in (b"", b"--x", GOOD, b"\xff\xfe"):
            reply = client.post("/api/search", content=body, headers={"content-type": kind})
            assert 400 <= reply.status_code < 500
            assert set(reply.json()) == {"error"}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_bytes_never_make_the_service_fail(client, data: st.DataObject) -> None:
    content = bytearray(
        encoded(picture(1, 1), data.draw(st.sampled_from(["PNG", "JPEG", "BMP", "TIFF", "WEBP"])))
    )
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    reply = client.post("/api/search", files={"image": bytes(content)})
    assert reply.status_code in {200, 422}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM"])
def test_usual_formats_are_read(client, kind: str) -> None:
    reply = client.post("/api/search", files={"image": encoded(picture(1, 1), kind)})
    assert reply.json()["results"][0]["pid"] == 1


def test_infrared_of_sixteen_bits_is_read(client) -> None:
    deep = np.asarray(picture(1, 3).convert("L")).astype(np.uint16) * 257
    reply = client.post("/api/search", files={"image": encoded(Image.fromarray(deep), "TIFF")})
    assert reply.json()["query"]["modality"] == "infrared"
    assert reply.json()["results"][0]["pid"] == 1


def test_what_is_shown_of_an_upload_holds_its_pixels_alone(client) -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    sent = encoded(picture(1, 1), "JPEG", exif=exif, comment=SECRET) + SECRET
    assert sent.count(SECRET) == 3
    uri = client.post("/api/search", files={"image": sent}).json()["query"]["picture"]
    shown = base64.b64decode(uri.partition(",")[2])
    assert SECRET not in shown
    assert "exif" not in Image.open(BytesIO(shown)).info


def test_stored_pictures_are_encoded_anew(client) -> None:
    content = client.get("/api/picture", params={"row": row_id(0, 1)}).content
    assert SECRET_FOLDER.encode() not in content
    assert Image.open(BytesIO(content)).format == "JPEG"


def test_a_damaged_stored_picture_is_a_422(tmp_path: Path, monkeypatch) -> None:
    searcher = made_searcher(tmp_path / "people.exact", people=1)
    rows = searcher.store.get([row_id(0, 1)])
    damaged = rows.frame.with_columns(thumbnail=b"no image")
    broken = type(rows)(frame=damaged, vectors=rows.vectors)
    monkeypatch.setattr(searcher.store, "get", lambda _: broken)
    client = TestClient(create_app(searcher), base_url="http://127.0.0.1")
    reply = client.get("/api/picture", params={"row": row_id(0, 1)})
    assert reply.status_code == 422
    assert "stored image" in reply.json()["error"]


def test_pictures_are_made_small() -> None:
    shown = Image.open(BytesIO(as_jpeg(Image.new("RGB", (3000, 1500)))))
    assert shown.size == (384, 192)


def test_the_cache_forgets_the_oldest_and_the_old() -> None:
    now = 0.0
    cache = PictureCache(most_bytes=10, kept_s=5, clock=lambda: now)
    cache.put("a", b"1234")
    cache.put("b", b"1234")
    assert cache.get("a") == b"1234"
    cache.put("c", b"1234")
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (b"1234", None, b"1234")
    cache.put("c", b"12345678")
    assert (cache.get("a"), cache.get("c")) == (None, b"12345678")
    now = 6.0
    assert cache.get("c") is None


def test_the_limit_of_pixels_holds_before_decoding() -> None:
    with pytest.raises(DataError, match=r"more than the limit of 0\.001 million"):
        decode_image(encoded(Image.new("RGB", (100, 100))), name="It", max_pixels=1000)
