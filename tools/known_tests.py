"""Which tests run a line, nearest and fastest first: read from what `make coverage` kept."""

from __future__ import annotations

import ast
import difflib
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from coverage import CoverageData
from mutations import PACKAGE, ROOT, Mutant

UNKNOWN_S, MOST_S = 1.0, 30.0


@dataclass
class KnownTests:
    """Which tests run which lines, and how long each takes.

    Attributes:
        seconds: Test → its time.
        coverage: What says which tests run which line.
        measured: When, for files changed since.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    coverage: list[CoverageData] = field(default_factory=list)
    measured: float = 0.0
    _lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> KnownTests:
        """From what `make coverage` left in a folder."""
        tests = cls()
        for path in sorted(folder.glob("*.xml")):
            for case in ET.parse(path).getroot().iter("testcase"):
                name = f"{case.get('file')}::{case.get('name')}"
                tests.seconds[name] = float(case.get("time", 0))
        found = sorted(folder.glob(".coverage*"))
        if not found:
            raise SystemExit(f"{folder} holds no coverage; say first: make coverage")
        tests.measured = min(path.stat().st_mtime for path in found)
        for path in found:
            tests.coverage.append(CoverageData(str(path)))
            tests.coverage[-1].read()
        return tests

    def of(self, mutant: Mutant, *, limit_s: float) -> tuple[list[str], bool]:
        """The tests that try a fault, in order, and whether the limit cut the list.

        A test's name without its parameters stands for all of them. Tests that were written since
        the coverage are tried first, wherever one of their folder is; of a source that changed
        since, every test that runs any line of it.
        """
        lines = self.lines(mutant.path)
        changed = (ROOT / mutant.path).stat().st_mtime > self.measured
        chosen: set[str] = set()
        if mutant.compiled:
            # Coverage sees machine code only where it is compiled: the tests of what calls it.
            for path in (ROOT / mutant.path).parent.glob("*.py"):
                runs = self.lines(str(path.relative_to(ROOT)))
                chosen = chosen.union(*runs.values())
        elif not changed:
            first, last = mutant.lines
            chosen = set().union(*(lines.get(n, ()) for n in range(first, last + 1)))
        if not chosen and (changed or mutant.at_import or mutant.compiled):
            chosen = set().union(*lines.values()) if lines else set()
        if not chosen and (changed or mutant.at_import or mutant.compiled):
            folder = f"tests/{PurePosixPath(mutant.path).relative_to(PACKAGE).parts[0]}/"
            chosen = {name for name in self.seconds if name.startswith(folder)}
        near = {_folder(name) for name in chosen}
        chosen |= {name for name in self._new if _folder(name) in near}
        ordered = sorted(
            chosen,
            key=lambda name: (
                name not in self._new,
                -_nearness(mutant.path, name),
                self.time(name),
            ),
        )
        kept: list[str] = []
        spent = 0.0
        for name in ordered:
            spent += self.time(name)
            if limit_s and kept and spent > limit_s:
                break
            kept.append(name)
        return kept, len(kept) < len(ordered)

    def lines(self, path: str) -> dict[int, set[str]]:
        """Line → the tests that run it."""
        if path not in self._lines:
            lines = self._lines.setdefault(path, {})
            for data in self.coverage:
                for line, contexts in data.contexts_by_lineno(path).items():
                    lines.setdefault(line, set()).update(c.partition("|")[0] for c in contexts if c)
        return self._lines[path]

    def time(self, name: str) -> float:
        """In seconds."""
        # The first test that needs machine code waits for it once.
        return min(MOST_S, self.seconds.get(name, UNKNOWN_S))

    @cached_property
    def _new(self) -> set[str]:
        """Tests that the coverage does not know, by name alone."""
        known = {name.partition("[")[0] for name in self.seconds}
        found = {
            f"{path.relative_to(ROOT).as_posix()}::{node.name}"
            for path in (ROOT / "tests").rglob("test_*.py")
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        }
        return found - known


def _folder(test: str) -> str:
    return test.partition("::")[0].rpartition("/")[0]


def _nearness(source: str, test: str) -> float:
    """How much a test's path says that it is a source file's."""
    parts = PurePosixPath(source).relative_to(PACKAGE).with_suffix("").parts
    own = PurePosixPath(test.partition("::")[0]).with_suffix("").parts[1:]
    same_folder = len(own) > 1 and own[0] == parts[0]
    name = own[-1].removeprefix("test_")
    alike = max(difflib.SequenceMatcher(None, name, part).ratio() for part in parts)
    return 2 * (alike > 0.7) + same_folder
