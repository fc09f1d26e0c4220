"""Runs a notebook as a person would, from its first cell to its last, and keeps what it answered.

    python tools/notebook.py examples/first_hour.ipynb --within FOLDER

writes the answers into the notebook, pictures as small as they can be. Only IPython is needed.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
from pathlib import Path
from typing import Any, ClassVar

from IPython.core.displayhook import DisplayHook
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import RichOutput, capture_output
from PIL import Image


class _Hook(DisplayHook):
    """Keeps what a cell's last line is, where a terminal would print it."""

    kept: ClassVar[list[RichOutput]] = []

    def write_output_prompt(self) -> None:
        """There is no prompt."""

    def write_format_data(
        self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None
    ) -> None:
        """Keeps it."""
        self.kept.append(RichOutput(data=format_dict, metadata=md_dict))


class _Shell(InteractiveShell):
    """IPython without a terminal or a window."""

    displayhook_class = _Hook

    def enable_gui(self, gui: str | None = None) -> None:
        """Pictures are kept, so no window has to be kept awake."""


PARAMETERS = "parameters"
"""Tag of the cell that `--parameters` replaces for this run."""


def run(notebook: dict[str, Any], parameters: str | None = None) -> None:
    """Runs the cells in order and puts their answers in place of the old ones.

    Args:
        notebook: As its JSON has it; changed in place.
        parameters: Python that replaces the cell with the tag `parameters` in this run; the
            notebook keeps its own.

    Raises:
        SystemExit: A cell failed.
    """
    shell = _Shell.instance()
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        code = "".join(cell["source"])
        if parameters is not None and PARAMETERS in cell["metadata"].get("tags", ()):
            code = parameters
        _Hook.kept.clear()
        with capture_output() as said:
            done = shell.run_cell(code, store_history=False)
        if not done.success:
            raise SystemExit(
                f"Cell {number} failed: {done.error_in_exec or done.error_before_exec}"
            )
        texts = [{"output_type": "stream", "name": "stdout", "text": said.stdout.splitlines(True)}]
        cell["outputs"] = (texts if said.stdout else []) + [
            _kept(one) for one in (*said.outputs, *_Hook.kept)
        ]


def _kept(shown: RichOutput) -> dict[str, Any]:
    """A picture if there is one, else its text."""
    if "image/png" in shown.data:
        data = _small(shown.data["image/png"])
    else:
        data = {"text/plain": shown.data["text/plain"].splitlines(keepends=True)}
    return {"output_type": "display_data", "metadata": {}, "data": data}


def _small(png: bytes | str) -> dict[str, str]:
    """The smaller of PNG and JPEG."""
    raw = base64.b64decode(png) if isinstance(png, str) else png
    jpeg = io.BytesIO()
    Image.open(io.BytesIO(raw)).convert("RGB").save(jpeg, "JPEG", quality=80, optimize=True)
    kind, chosen = min(
        (("image/png", raw), ("image/jpeg", jpeg.getvalue())), key=lambda one: len(one[1])
    )
    return {kind: base64.b64encode(chosen).decode()}


def main() -> None:
    """Runs it and writes it back, or elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--within", type=Path, required=True, help="where its files will lie")
    parser.add_argument("--parameters", help="Python in place of the cell of parameters")
    parser.add_argument("--out", type=Path, help="the notebook with answers; default: itself")
    given = parser.parse_args()
    notebook = json.loads(given.notebook.read_text(encoding="utf-8"))
    out = (given.out or given.notebook).resolve()
    os.chdir(given.within)
    run(notebook, given.parameters)
    out.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
