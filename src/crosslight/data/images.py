"""Reading an image file as RGB, whatever it holds, and refusing what cannot be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

from crosslight.data.depth import Depth, depth_of
from crosslight.data.formats import HEAD_BYTES, RAW, Unread, is_raw, recognised
from crosslight.errors import DataError, ReadingError
from crosslight.system import shortage
from crosslight.types import DeepRange, Modality

MAX_PIXELS = 64_000_000
"""Images with more pixels are refused before they are decoded."""

HAS_AVIF = "avif" in features.modules and features.check_module("avif")
FORMATS = (
    *(("AVIF",) if HAS_AVIF else ()),
    *("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"),
)
"""The file formats that are read; the ending of the name does not matter."""

EXPECTED = "JPEG, PNG, BMP, TIFF, WebP or the like"
ORIENTATION = 0x0112
TIFF_MAX_SAMPLE_VALUE = 281
SIXTEEN_BITS = 65535.0
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
UPRIGHT = 1

GRAY_TOLERANCE = 6.0
"""Mean spread of R, G and B, of 255, up to which an image counts as infrared."""


def read_image(path: Path, *, deep_range: DeepRange | None = None) -> Image.Image:
    """The decoded image in mode RGB, upright (the EXIF orientation is applied).

    Gray and palette images get three channels and transparency is dropped. Images of 16 bits,
    usual for infrared, are scaled from their full range (65535, the TIFF tag MaxSampleValue or
    the largest value that a PGM states) to 255, not clipped. Images of 32-bit whole numbers are
    taken as 16-bit, those of floating point as 0 to 1. Of an animation, the first picture is read.

    Args:
        path: The file.
        deep_range: Values of black and white of images of one channel with more than 8 bits, in
            place of their full range; what lies beyond is cut off.

    Raises:
        DataError: Missing, truncated, not an image, more than `MAX_PIXELS`, or pixel values
            outside those ranges.
    """
    with _opened(path) as image:
        return _as_rgb(image, str(path), deep_range)


def read_with_depth(
    path: Path, *, deep_range: DeepRange | None = None
) -> tuple[Image.Image, Depth | None]:
    """As `read_image`, and what is left of an image with more than 8 bits; None for others."""
    found: list[Depth] = []
    with _opened(path) as image:
        picture = _as_rgb(image, str(path), deep_range, found.append)
    return picture, next(iter(found), None)


def decode_image(
    content: bytes,
    *,
    name: str,
    max_pixels: int = MAX_PIXELS,
    deep_range: DeepRange | None = None,
) -> Image.Image:
    """As `read_image`, of a file's content that somebody sent.

    Args:
        content: The whole file.
        name: How the errors call it.
        max_pixels: Images with more pixels are refused before they are decoded.
        deep_range: As in `read_image`.

    Raises:
        DataError: As `read_image`.
    """
    with _opened(BytesIO(content), name=name, max_pixels=max_pixels) as image:
        return _as_rgb(image, name, deep_range)


def rgb_of(image: Image.Image, *, name: str, deep_range: DeepRange | None = None) -> Image.Image:
    """As `read_image`, of an image that is open; it stays as it is.

    Args:
        image: Of any mode.
        name: How the errors call it.
        deep_range: As in `read_image`.

    Raises:
        DataError: It cannot be decoded to its end, or its values cannot be shown.
    """
    try:
        return _as_rgb(image, name, deep_range)
    except DataError:
        raise
    except Exception as error:  # as of a file: Pillow's decoders raise almost anything
        raise ReadingError(_damaged(name, error)) from error


def size_of(path: Path) -> tuple[int, int]:
    """Height and width of the upright image, px, from the file's header alone.

    Raises:
        DataError: As `read_image`, but damage behind the header goes unnoticed.
    """
    with _opened(path) as image:
        width, height = image.size
        # A PNG without EXIF in its header would be decoded to look for more; a TIFF has its
        # orientation elsewhere, and Pillow has turned its size already.
        turned = "exif" in image.info and _orientation(image) >= 5
        return (width, height) if turned else (height, width)


def guess_modality(image: Image.Image) -> int:
    """Infrared where the image has no colour, else visible."""
    small = np.asarray(image.convert("RGB").resize((32, 64)), dtype=np.float32)
    spread = float((small.max(axis=2) - small.min(axis=2)).mean())
    return int(Modality.INFRARED if spread <= GRAY_TOLERANCE else Modality.VISIBLE)


@contextmanager
def _opened(
    source: Path | BytesIO, *, name: str = "", max_pixels: int = MAX_PIXELS
) -> Iterator[Image.Image]:
    name = name or str(source)
    try:
        # From a path Pillow maps some TIFFs into memory, and shears those that have to be turned.
        with ExitStack() as stack:
            file = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
            image = stack.enter_context(Image.open(file, formats=FORMATS))
            if image.format == "TIFF" and is_raw(name, _head(source)):
                raise ReadingError(_unread(name, RAW))
            width, height = image.size
            if width * height > max_pixels:
                raise ReadingError(_too_large(name, f"{width} x {height}", max_pixels))
            yield image
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ReadingError(_too_large(name, "far too many", max_pixels)) from error
    except FileNotFoundError as error:
        raise ReadingError(f"There is no image at {name}; check the path or the table.") from error
    except UnidentifiedImageError as error:
        raise ReadingError(_no_image(name, source)) from error
    except IsADirectoryError as error:
        raise ReadingError(f"{name} is a folder; give the image files in it.") from error
    except OSError as error:
        if error.errno is not None:
            remedy = shortage(error.errno) or "check its permissions and its disk"
            raise ReadingError(
                f"{name} cannot be read ({error.strerror}); expected an image file that this "
                f"user may open: {remedy}."
            ) from error
        raise ReadingError(_damaged(name, error)) from error
    except Exception as error:  # a malformed file makes Pillow's decoders raise almost anything
        raise ReadingError(_damaged(name, error)) from error


def _no_image(name: str, source: Path | BytesIO) -> str:
    head = _head(source)
    kind = recognised(head)
    if kind is not None:
        return _unread(name, kind)
    found = "is not an image" if head else "is empty (0 bytes)"
    return f"{name} {found}; expected {EXPECTED}: copy it again from its source or remove it."


def _unread(name: str, kind: Unread) -> str:
    return f"{name} is {kind.what}, which is not read; expected {EXPECTED}: {kind.remedy}."


def _head(source: Path | BytesIO) -> bytes:
    if isinstance(source, BytesIO):
        return bytes(source.getbuffer()[:HEAD_BYTES])
    with source.open("rb") as file:
        return file.read(HEAD_BYTES)


def _as_rgb(
    image: Image.Image,
    name: str,
    deep_range: DeepRange | None,
    measured: Callable[[Depth], None] | None = None,
) -> Image.Image:
    stated = _stated_white(image)
    in_colour = _is_deep_colour(image)
    image.load()
    upright = _turned(image, _orientation(image))
    if upright.mode in {"I", "F"} or upright.mode.startswith("I;16"):
        values = np.asarray(upright).astype(np.float64)
        white = 1.0 if upright.mode == "F" else stated or SIXTEEN_BITS
        # Pillow scales what a PGM holds to 16 bits; a range is stated in the file's own values.
        scaled = image.format == "PPM" and upright.mode != "F"
        own = np.rint(values * (white / SIXTEEN_BITS)) if scaled else values
        if measured is not None:
            measured(depth_of(own, *(deep_range or (0.0, white))))
        if deep_range is not None:
            return _between(name, own, deep_range).convert("RGB")
        return _from_deep(name, values, SIXTEEN_BITS if scaled else white).convert("RGB")
    if upright.mode == "P":  # straight to RGB, Pillow warns about some transparencies
        upright = upright.convert("RGBA")
    picture = upright.convert("RGB")
    if in_colour and measured is not None:
        upper = np.asarray(picture).astype(np.float64) * 257
        measured(depth_of(upper, 0.0, SIXTEEN_BITS, in_colour=True))
    return picture


def _too_large(name: str, pixels: str, limit: int) -> str:
    return (
        f"{name} claims {pixels} pixels, more than the limit of {limit / 10**6:g} million; "
        "crop the person out of it or remove it."
    )


def _damaged(name: str, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"{name} is damaged ({reason}); expected a complete image: "
        "copy it again from its source or remove it."
    )


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ORIENTATION, UPRIGHT)
    except Exception:  # damaged EXIF says nothing about the pixels
        return UPRIGHT
    return value if value in TRANSPOSE else UPRIGHT


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    return image if orientation == UPRIGHT else image.transpose(TRANSPOSE[orientation])


def _stated_white(image: Image.Image) -> float | None:
    """The value of full white where the file says it; before its pixels are decoded."""
    if image.format == "PPM":
        largest = [part.args[1] for part in getattr(image, "tile", ()) if part.codec_name == "ppm"]
        return float(largest[0]) if largest else None
    stated = getattr(image, "tag_v2", {}).get(TIFF_MAX_SAMPLE_VALUE)
    value = stated[0] if isinstance(stated, tuple) and stated else stated
    return float(value) if isinstance(value, int) and 0 < value <= SIXTEEN_BITS else None


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether Pillow keeps only the upper half of several channels of 16 bits."""
    return image.mode in {"RGB", "RGBA", "LA"} and any(
        ";16" in str(part.args) for part in getattr(image, "tile", ())
    )


def _from_deep(name: str, values: NDArray[np.float64], white: float) -> Image.Image:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= white):
        raise DataError(
            f"{name} has pixel values from {low:g} to {high:g}, expected 0 to {white:g}; "
            "convert it to an 8-bit or 16-bit image, or state the values of black and white "
            "(in the recipe data.deep_range, of a gallery --deep-range)."
        )
    return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))


def _between(name: str, values: NDArray[np.float64], deep_range: DeepRange) -> Image.Image:
    black, white = deep_range
    if np.isnan(values).any():
        raise DataError(f"{name} has pixels without a value (nan); give them that of black.")
    inside = np.clip(values, black, white) - black
    return Image.fromarray(np.rint(inside * 255 / (white - black)).astype(np.uint8))
