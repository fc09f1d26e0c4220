"""Lists of people: `train_id.txt` and its like, or the same as a MATLAB file."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from crosslight.data.layouts.listing import counted, text_lines
from crosslight.errors import DataError

SEPARATORS = re.compile(r"[,;\s]+")


def read_ids(folder: Path, stem: str, *, drawn: bool = False) -> list[int]:
    """The people of `<stem>.txt`, or of `<stem>.mat` where there is no text file; sorted, unique.

    The text holds numbers, padded or not, in any order, on one line or several, separated by
    commas or blanks. The MATLAB file holds them in the variable `id`.

    Args:
        folder: Where the lists lie.
        stem: Name of the list.
        drawn: The people were drawn to order, so that a list may be meant to name nobody.

    Raises:
        DataError: Neither file is there, or it does not parse.
    """
    text, matlab = folder / f"{stem}.txt", folder / f"{stem}.mat"
    if text.is_file():
        ids = _from_text(text)
    elif matlab.is_file():
        ids = _from_matlab(matlab)
    else:
        raise DataError(
            f"The list of people {text} is missing, and so is {matlab.name}; "
            "it belongs to the data set: copy it from its archive."
        )
    if not ids and not drawn:
        raise DataError(f"{text if text.is_file() else matlab} names nobody; copy it again.")
    return sorted(set(ids))


def require_people(ids: Collection[int], present: Collection[int], listing: Path) -> None:
    """Makes sure that everybody in a list has images.

    Raises:
        DataError: Some have none; they are named.
    """
    absent = sorted(set(ids) - set(present))
    if absent:
        raise DataError(
            f"Listed in {listing} but without images: {counted(absent, 'person', 'people')}; "
            "unpack the data set again, completely, or take them off the list."
        )


def _from_text(path: Path) -> list[int]:
    ids = []
    for number, line in text_lines(path):
        for word in SEPARATORS.split(line):
            if not word:
                continue
            if not (word.isascii() and word.isdigit()):
                raise DataError(
                    f"{path} line {number} holds {word!r}, expected the numbers of people "
                    "separated by commas; copy the list again from the data set's archive."
                )
            ids.append(int(word))
    return ids


def _from_matlab(path: Path) -> list[int]:
    from scipy.io import loadmat  # slow to import, and rarely needed

    try:
        values = np.asarray(loadmat(path)["id"]).ravel().astype(np.int64)
    except Exception as error:  # a malformed file makes the reader raise almost anything
        raise DataError(
            f"{path} is no MATLAB file with a list `id` of people ({error}); "
            "copy it again from the data set's archive."
        ) from error
    return [int(value) for value in values]
