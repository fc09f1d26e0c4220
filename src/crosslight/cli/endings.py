"""How a command speaks and ends: in any encoding, and in a sentence wherever a user can mend it."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from crosslight.errors import CrosslightError
from crosslight.parts import named_if_missing
from crosslight.system import FULL, SCARCE, shortage


@contextmanager
def spoken() -> Iterator[None]:
    """Around a command: what it raises becomes one sentence on stderr and an exit code.

    What the terminal's encoding cannot show is printed as an escape, on stdout as on stderr. A
    reader that closes the pipe (`| head`) ends the command without a word.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sentence, code = "", 0
    try:
        with named_if_missing():
            yield
    except CrosslightError as error:
        sentence, code = str(error), error.exit_code
    except KeyboardInterrupt:
        sentence, code = "interrupted", 130
    except BrokenPipeError:
        code = 1
    except OSError as error:
        if error.errno is None:
            raise
        sentence, code = _sentence(error), 1
    except SystemExit:  # after the help, or a mistake in the flags
        _flush_stdout()
        raise
    unwritten = _flush_stdout()
    if unwritten is not None:
        code = code or 1
        if not isinstance(unwritten, BrokenPipeError):
            sentence = sentence or _sentence(unwritten)
    if sentence:
        with suppress(OSError):  # the terminal may be what has gone
            print(f"crosslight: {sentence}", file=sys.stderr, flush=True)
    if code:
        sys.exit(code)


def _sentence(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in FULL:
        what = f"No space left on the disk{place}"
        return f"{what}; {shortage(error.errno)} and run the same command again."
    if error.errno in SCARCE:
        what = f"{error.strerror}{place}"
        return f"{what}; {shortage(error.errno)}, and run the same command again."
    if error.filename:
        return (
            f"{error.filename} cannot be used ({error.strerror}); look at that place, or name "
            "another one."
        )
    return (
        f"The system refused ({error.strerror}); look at the disk and run the same command again."
    )


def _flush_stdout() -> OSError | None:
    """Writes what waits, while there is somebody to tell that it could not be."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try again at its very end, and complain.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        return error
    return None
