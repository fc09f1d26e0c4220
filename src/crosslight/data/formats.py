"""Which files are images, videos and tables by their ending, and what a file is that is not read.

One list for every command. The ending only decides what is taken from a folder; what a file
holds is told by its first bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

IMAGE_ENDINGS = frozenset(
    (
        *(".apng", ".avif", ".bmp", ".gif", ".j2c", ".j2k", ".jfif", ".jif", ".jp2", ".jpc"),
        *(".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".png"),
        *(".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    )
)
"""Files with these endings are taken from a folder as images."""

VIDEO_ENDINGS = frozenset(
    (
        *(".264", ".265", ".3g2", ".3gp", ".asf", ".avc", ".avi", ".divx", ".f4v", ".flv", ".h264"),
        *(".h265", ".hevc", ".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg"),
        *(".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".ts"),
        *(".vob", ".webm", ".wmv", ".y4m"),
    )
)
"""Files with these endings are enrolled as videos."""

PARQUET_ENDINGS = frozenset((".parquet", ".pq"))
TABLE_ENDINGS = PARQUET_ENDINGS | {".csv"}

RAW_ENDINGS = frozenset(
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mrw", ".nef"),
        *(".nrw", ".orf", ".pef", ".raf", ".rw2", ".srf", ".srw"),
    )
)
"""Of cameras' raw files; many are TIFF files whose first picture is a small preview."""

TO_JPEG = "convert it to JPEG, for example with ImageMagick: magick IN OUT.jpg"
TO_PNG = "convert it to PNG, for example with ImageMagick: magick IN OUT.png"
FROM_HEIC = (
    "convert it to JPEG, for example with heif-convert IN OUT.jpg, "
    "and set the camera to JPEG (on an iPhone: Most Compatible)"
)
FROM_RAW = "export it as JPEG or PNG from the program that develops raw files"
FROM_ARRAY = "save each picture as an 8-bit or 16-bit PNG"
FROM_ARCHIVE = "unpack it and give the images"
FROM_VIDEO = "enrol it by itself, under a name that ends like .mp4: crosslight gallery add"
FETCHED_WRONG = "download the image itself"


@dataclass(frozen=True, kw_only=True)
class Unread:
    """A kind of file that is not read.

    Attributes:
        what: Its name, with an article.
        remedy: What to do instead, in the imperative.
    """

    what: str
    remedy: str


HEIC = Unread(what="a HEIC image, as phones write it", remedy=FROM_HEIC)
AVIF = Unread(what="an AVIF image that this Pillow has no decoder for", remedy=TO_JPEG)
RAW = Unread(what="a camera's raw file", remedy=FROM_RAW)
VIDEO = Unread(what="a video", remedy=FROM_VIDEO)

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIC_BRANDS |= {b"mif1", b"mif2", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}

_STARTS: tuple[tuple[int, bytes, Unread], ...] = (
    (0, b"8BPS", Unread(what="a Photoshop document (PSD)", remedy=TO_JPEG)),
    (0, b"%PDF", Unread(what="a PDF document", remedy="export its pictures as PNG or JPEG")),
    (0, b"%!PS", Unread(what="a PostScript file (EPS)", remedy=TO_PNG)),
    (0, b"\xff\x0a", Unread(what="a JPEG XL image", remedy=TO_PNG)),
    (4, b"JXL \r\n", Unread(what="a JPEG XL image", remedy=TO_PNG)),
    (0, b"II\xbc", Unread(what="a JPEG XR image", remedy=TO_PNG)),
    (0, b"BPG\xfb", Unread(what="a BPG image", remedy=TO_PNG)),
    (0, b"\x76\x2f\x31\x01", Unread(what="an OpenEXR image", remedy=TO_PNG)),
    (0, b"#?RADIANCE", Unread(what="a Radiance HDR image", remedy=TO_PNG)),
    (0, b"#?RGBE", Unread(what="a Radiance HDR image", remedy=TO_PNG)),
    (0, b"P7\n", Unread(what="a PAM image", remedy=TO_PNG)),
    (0, b"DDS ", Unread(what="a DDS texture", remedy=TO_PNG)),
    (0, b"qoif", Unread(what="a QOI image", remedy=TO_PNG)),
    (0, b"\0\0\1\0", Unread(what="an icon (ICO)", remedy=TO_PNG)),
    (0, b"gimp xcf", Unread(what="a GIMP document (XCF)", remedy=TO_JPEG)),
    (0, b"SIMPLE  =", Unread(what="a FITS image", remedy=FROM_ARRAY)),
    (128, b"DICM", Unread(what="a DICOM image", remedy=TO_PNG)),
    (0, b"\x93NUMPY", Unread(what="a NumPy array", remedy=FROM_ARRAY)),
    (0, b"\x89HDF\r\n", Unread(what="an HDF5 file", remedy=FROM_ARRAY)),
    (0, b"MATLAB 5.0", Unread(what="a MATLAB file", remedy=FROM_ARRAY)),
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"IIRO", RAW),
    (0, b"IIRS", RAW),
    (0, b"MMOR", RAW),
    (0, b"IIU\0", RAW),
    (8, b"CR\2", RAW),
    (0, b"PK\3\4", Unread(what="an archive (ZIP)", remedy=FROM_ARCHIVE)),
    (0, b"\x1f\x8b", Unread(what="a compressed file (gzip)", remedy=FROM_ARCHIVE)),
    (0, b"Rar!", Unread(what="an archive (RAR)", remedy=FROM_ARCHIVE)),
    (0, b"7z\xbc\xaf\x27\x1c", Unread(what="an archive (7z)", remedy=FROM_ARCHIVE)),
    (0, b"\x1aE\xdf\xa3", VIDEO),
    (0, b"\0\0\1\xba", VIDEO),
    (0, b"\0\0\0\1", VIDEO),
    (0, b"FLV\1", VIDEO),
    (8, b"AVI ", VIDEO),
    (
        0,
        b"\0\5\x16\7",
        Unread(what="a side file of macOS without a picture", remedy="remove it"),
    ),
    (
        0,
        b"version https://git-lfs",
        Unread(what="a Git LFS pointer in place of the image", remedy="fetch it with git lfs pull"),
    ),
)
_MARKUP: tuple[tuple[bytes, Unread], ...] = (
    (b"<svg", Unread(what="a drawing (SVG)", remedy=TO_PNG)),
    (b"<!doctype html", Unread(what="a web page (HTML)", remedy=FETCHED_WRONG)),
    (b"<html", Unread(what="a web page (HTML)", remedy=FETCHED_WRONG)),
)

HEAD_BYTES = 1024
"""How much of a file `recognised` wants."""


def recognised(head: bytes) -> Unread | None:
    """What kind of file that is not read begins so; None where that cannot be told.

    Args:
        head: Its first `HEAD_BYTES` bytes.
    """
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    for place, start, kind in _STARTS:
        if head[place : place + len(start)] == start:
            return kind
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<"):
        return next((kind for tag, kind in _MARKUP if tag in text), None)
    return None


def is_raw(name: str, head: bytes) -> bool:
    """Whether a file that could be read as TIFF is a camera's raw file."""
    return head[:4] in {b"II*\0", b"MM\0*"} and _ending(name) in RAW_ENDINGS


def advice_for(ending: str) -> str:
    """What to do with files of an ending that is passed over; empty where nothing."""
    if ending in {".heic", ".heif", ".hif"}:
        return "convert them to JPEG"
    if ending in RAW_ENDINGS:
        return "export them as JPEG"
    if ending in VIDEO_ENDINGS:
        return "enrol a video by itself"
    if ending in _CONVERTED:
        return "convert them to PNG"
    return ""


_CONVERTED = {".bpg", ".dcm", ".dds", ".eps", ".exr", ".fit", ".fits", ".hdr", ".ico", ".jxl"}
_CONVERTED |= {".jxr", ".npy", ".npz", ".pam", ".pdf", ".psd", ".qoi", ".raw", ".svg", ".tga"}


def _ending(name: str) -> str:
    dot = name.rfind(".")
    return name[dot:].lower() if dot >= 0 else ""


def _by_brand(head: bytes) -> Unread:
    # The major brand, a version, then the compatible brands up to the end of the box.
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[n : n + 4] for n in range(16, length, 4))]
    if _AVIF_BRANDS & set(brands):
        return AVIF
    if _HEIC_BRANDS & set(brands):
        return HEIC
    return RAW if b"crx " in brands else VIDEO
