"""A thread keeps the stack that signals are handled on, whatever a library puts in its place."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_DISABLED = 2  # SS_DISABLE


class _Stack(ctypes.Structure):
    _fields_ = (
        ("pointer", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Around whatever loads OpenVINO's processor plugin: after it the thread has its own again.

    The plugin gives the thread that it is loaded on another stack for signals (OpenVINO, pull
    request 11894) and unmaps it when the last model goes. Only on that same thread does it put
    back what was there; gone anywhere else, the next signal, as a child's end or Ctrl-C, has
    nowhere to be handled, and the system kills the process without a word.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    before = _Stack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        if libc.sigaltstack(ctypes.byref(before), None) != 0:
            # The plugin asked for wider registers, which no longer fit: better none than unmapped.
            libc.sigaltstack(ctypes.byref(_Stack(None, _DISABLED, 0)), None)
