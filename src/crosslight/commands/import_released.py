"""Imports a released program's files, and tells what was taken and what was not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from crosslight.experiments.importing import Gathered, import_files


def run_import(system: str, files: Sequence[Path], out: Path, *, overrides: Sequence[str]) -> None:
    """Prints the run's facts, and what comes next; see `import_files` for what it raises."""
    imported = import_files(system, files, out, overrides=overrides)
    print("\n".join(_told(imported, out)), flush=True)


def _told(imported: Gathered, run: Path) -> list[str]:
    data, program = imported.recipe.data, imported.program
    people = "" if imported.people is None else f", {imported.people} people"
    lines = [
        f"{run}: {program.about} as {imported.recipe.method}{people}, images of {data.height} x "
        f"{data.width} pixels; {imported.kept} tensors."
    ]
    lines += [f"  {path}: {told}" for path, told in imported.files.items()]
    lines += [
        f"Left out: {why}: {names[0]}" + (f" and {len(names) - 1} more." if names[1:] else ".")
        for why, names in imported.left_out.items()
    ]
    lines += [
        f"In no file, so untrained: {part.rstrip('.')}, which {' and '.join(needs)} would need."
        for part, needs in imported.untrained.items()
    ]
    lines += [f"Warning: {warning}" for warning in imported.warnings]
    if all("embedding" not in needs for needs in imported.untrained.values()):
        lines.append(
            f"Next: crosslight evaluate {quote(str(run))} --data LAYOUT:ROOT{program.flags}"
        )
    else:
        named = quote(str(run))
        lines.append(
            f"Next: crosslight translate {named} --images FOLDER --to infrared --out DRAWN"
        )
    return lines
