"""What a store says where no more files may be opened: in a process of its own, which then ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROCESS = """
import resource, sys
from pathlib import Path
from crosslight.errors import GalleryError
folder = Path(sys.argv[1])
{before}
with (folder / "store.json").open() as lowest_free:
    most = lowest_free.fileno() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
try:
    {inside}
except GalleryError as error:
    print(error)
"""


def told_with_few_files(folder: Path, before: str, inside: str, free: int = 0) -> str:
    """The sentence, or nothing.

    Args:
        folder: Of the store, and its name in the code.
        before: A line of Python that needs files itself, such as imports.
        inside: A line of Python.
        free: How many files may be opened.
    """
    code = PROCESS.format(before=before, inside=inside)
    command = [sys.executable, "-c", code, str(folder), str(free)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
