"""Images that come in and go out: read under limits, and never passed on as they came.

What a browser is given was decoded and encoded again here: no metadata, no second content hidden
in the file, one format, one size.
"""

from __future__ import annotations

import base64
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from io import BytesIO

from PIL import Image

from crosslight.data.images import decode_image
from crosslight.gallery.service.limits import Limits
from crosslight.types import DeepRange

JPEG = "image/jpeg"
SHOWN_HEIGHT_PX = 384
SHOWN_WIDTH_PX = 384
QUALITY = 88
STORED_PIXELS = 4_000_000
"""Stored thumbnails are small; a store that somebody tampered with may hold other things."""

PICTURE_KEPT_S = 300
"""How long a picture outlives its row, here and in browsers."""


def read_upload(
    content: bytes, limits: Limits, *, deep_range: DeepRange | None = None
) -> Image.Image:
    """The RGB image that a client sent.

    Raises:
        DataError: Not an image, damaged, or with more pixels than the limits allow.
    """
    return decode_image(
        content, name="The upload", max_pixels=limits.upload_pixels, deep_range=deep_range
    )


def read_stored(content: bytes) -> Image.Image:
    """The RGB image of a stored thumbnail.

    Raises:
        DataError: Damaged.
    """
    return decode_image(content, name="The stored image", max_pixels=STORED_PIXELS)


def as_jpeg(image: Image.Image) -> bytes:
    """A JPEG of at most `SHOWN_WIDTH_PX` x `SHOWN_HEIGHT_PX` that holds the pixels alone."""
    shown = image.convert("RGB")
    shown.thumbnail((SHOWN_WIDTH_PX, SHOWN_HEIGHT_PX), Image.Resampling.LANCZOS)
    bare = Image.frombytes("RGB", shown.size, shown.tobytes())
    file = BytesIO()
    bare.save(file, format="JPEG", quality=QUALITY)
    return file.getvalue()


def as_uri(image: Image.Image) -> str:
    """`as_jpeg` as a data URI, for pictures that have no address of their own."""
    return f"data:{JPEG};base64,{base64.b64encode(as_jpeg(image)).decode()}"


class PictureCache:
    """The pictures that were asked for last, up to a number of bytes; safe from several threads.

    Args:
        most_bytes: Of all pictures together.
        kept_s: Seconds after which a picture is forgotten: its row may have been removed.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        *,
        most_bytes: int = 32 * 2**20,
        kept_s: float = PICTURE_KEPT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._kept_s, self._clock = most_bytes, kept_s, clock
        self._size = 0
        self._pictures: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> bytes | None:
        """The picture, or None."""
        with self._lock:
            picture, since = self._pictures.get(name, (None, 0.0))
            if picture is None or self._clock() - since > self._kept_s:
                return None
            self._pictures.move_to_end(name)
            return picture

    def forget(self, names: Iterable[str]) -> None:
        """Lets go of pictures, at once."""
        with self._lock:
            for name in names:
                self._size -= len(self._pictures.pop(name, (b"", 0.0))[0])

    def put(self, name: str, picture: bytes) -> None:
        """Keeps a picture; the ones that were not asked for longest make room."""
        with self._lock:
            old, _ = self._pictures.pop(name, (b"", 0.0))
            self._size += len(picture) - len(old)
            self._pictures[name] = (picture, self._clock())
            while self._size > self._most:
                _, (gone, _) = self._pictures.popitem(last=False)
                self._size -= len(gone)
