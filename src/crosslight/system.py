"""What the system refuses a program, and what a user can do about it: said once."""

from __future__ import annotations

import errno
import re

FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""The disk, or what this user may fill of it, is full."""

CLOSED = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
"""This user lacks a permission."""

GONE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ESTALE))
"""Nothing is there any more."""

SCARCE = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EBUSY))
"""Too much goes on at once: it says nothing against the file."""

_NUMBER = re.compile(r"(?:os error|Errno|Os \{ code:) (\d+)")


def number_of(error: BaseException, text: str = "") -> int | None:
    """The system's number of an error, which engines may tell in words alone.

    Args:
        error: Any.
        text: Its words, where they are not `str(error)`.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _NUMBER.search(text or str(error))
    return int(found[1]) if found else None


def shortage(number: int | None) -> str | None:
    """What to do about what the machine is short of, as a part of a sentence.

    Args:
        number: Of the error; see `number_of`.

    Returns:
        None: it is short of nothing, or nobody knows.
    """
    if number in FULL:
        return "free some space"
    if number in (errno.EMFILE, errno.ENFILE):
        return "end other programs, or allow more open files (ulimit -n)"
    if number in SCARCE:
        return "end other programs"
    return None
