"""Ctrl-C, SIGTERM and a closed terminal: finish what must not be torn, save, and leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from crosslight.errors import TrainingError

_HANGUP: tuple[int, ...] = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()


class TrainingInterrupted(TrainingError):  # noqa: N818
    """Training was asked to stop, and saved its state.

    Attributes:
        exit_code: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP, as shells expect.
    """

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StopNow(BaseException):
    """Raised by a signal inside `Interruption.immediate`; no `except Exception` may hold it."""


class Interruption:
    """Listens for signals while it is entered; the previous handlers come back after.

    The first signal is only noted, except inside `immediate`. A second Ctrl-C raises
    KeyboardInterrupt at once. Outside the main thread, where Python has no signals, it hears
    nothing.

    Attributes:
        received: Number of the first signal that came, 0 before.
    """

    def __init__(self) -> None:
        self.received = 0
        self._is_immediate = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            # Below nohup a closed terminal is nothing to stop for.
            hangup = [n for n in _HANGUP if signal.getsignal(n) is not signal.SIG_IGN]
            for number in (signal.SIGINT, signal.SIGTERM, *hangup):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Inside, work that may be torn: a signal raises `StopNow` there, also an earlier one."""
        before, self._is_immediate = self._is_immediate, True
        try:
            if self.received:
                raise StopNow
            yield
        finally:
            self._is_immediate = before

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
        if self._is_immediate:
            self._is_immediate = False
            raise StopNow
