"""A user whom permissions bind, also where root runs the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.incapable import IncapableError

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Inside, all threads of this process are without root's powers.

    What is used inside has to be imported before: nobody may be kept from the packages too.
    """
    if not hasattr(os, "geteuid"):
        raise IncapableError("Windows has no such users; run this test on Linux or macOS")
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
