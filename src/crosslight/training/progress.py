"""What a person sees while training runs: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LINE_EVERY_S = 20.0


class Reporter:
    """Shows stage, iteration, loss, images per second and the time left, on stderr.

    Args:
        total: Iterations over all stages.
        done: Iterations done before.
        shown: False keeps silent.
    """

    def __init__(self, *, total: int, done: int, shown: bool) -> None:
        self._console = Console(stderr=True, quiet=not shown)
        self._total = total
        self._first = self._done = done
        self._start = self._last_line = time.monotonic()
        self._images = 0
        self._bar: Progress | None = None
        if shown and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task("", total=total, completed=done, figures="")
            with self._while_anybody_looks():
                self._bar.start()

    def advance(self, stage: str, loss: float, images: int) -> None:
        """One iteration more."""
        self._done += 1
        self._images += images
        now = time.monotonic()
        rate = self._images / max(now - self._start, 1e-9)
        figures = f"loss {loss:.3f}  {rate:.0f} images/s"
        if self._bar is not None:
            with self._while_anybody_looks():
                self._bar.update(
                    self._task, description=stage, completed=self._done, figures=figures
                )
        elif now - self._last_line >= _LINE_EVERY_S or self._done == self._total:
            self._last_line = now
            left = (now - self._start) / (self._done - self._first) * (self._total - self._done)
            self.note(f"{stage}  {self._done}/{self._total}  {figures}  {_clock(left)} left")

    def note(self, sentence: str) -> None:
        """A line that stays."""
        with self._while_anybody_looks():
            if self._bar is not None:
                self._bar.console.print(sentence, highlight=False, markup=False)
            else:
                self._console.print(sentence, highlight=False, markup=False, soft_wrap=True)
                sys.stderr.flush()

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._bar is not None:
            with self._while_anybody_looks():
                self._bar.stop()

    @contextmanager
    def _while_anybody_looks(self) -> Iterator[None]:
        """A closed terminal ends the showing, not the training."""
        try:
            yield
        except OSError:
            self._console.quiet = True


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
