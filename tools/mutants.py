"""Plants small faults in the package, one at a time, and tells which the tests notice.

Run `make coverage`, then `make mutants`; or `python tools/mutants.py [--seed N] [--again]`. Of
every folder in `SAMPLE` so many faults are drawn by the seed. The coverage tells which tests run a
fault's line; they run until one fails, the nearest and fastest first. Rows are kept as they come,
and a run that was cut goes on. `equivalent_mutants.yaml` says which faults change nothing, and why.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from known_tests import KnownTests
from mutations import PACKAGE, ROOT, Mutant, sample
from trials import Row, Trial, trial, try_collected, try_copies

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.yaml")
SAMPLE = {
    "methods": 120,
    "losses.py": 25,
    "nn": 60,
    "evaluation": 80,
    "data/sampling.py": 20,
    "data/transforms.py": 20,
}
SEED = 2026
LIMIT_S = 240
"""Of tests' time for one fault; `--limit 0` lets all that run its line try."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--share", type=float, default=1.0, help="of the sample's size")
    parser.add_argument("--coverage", type=Path, default=ROOT / "runs/coverage")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/mutants.jsonl")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds of tests for each")
    parser.add_argument("--again", action="store_true", help="try those that were not noticed")
    parser.add_argument("--copies", action="store_true", help="try all on copies of the package")
    parser.add_argument("--leave-out", nargs="*", default=(), help="sources whose path begins so")
    parser.add_argument("--only-table", action="store_true", help="of what was tried so far")
    asked = parser.parse_args()
    planted = {
        folder: sample(
            [path for path in _sources(folder) if not path.startswith(tuple(asked.leave_out))],
            size=max(1, round(size * asked.share)),
            seed=asked.seed,
        )
        for folder, size in SAMPLE.items()
    }
    if not asked.only_table:
        rows = _kept(asked.out)
        every = [mutant for drawn in planted.values() for mutant in drawn]
        if asked.again:
            wanted = [m for m in every if m.name in rows and _open(m, rows)]
        else:
            wanted = [m for m in every if m.name not in rows]
        _try(wanted, asked)
    _tell(planted, _kept(asked.out))


def _try(wanted: Sequence[Mutant], asked: argparse.Namespace) -> None:
    known = KnownTests.read(asked.coverage)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="mutants-"))
    told = os.dup(1)

    def keep(mutant: Mutant, row: Row) -> None:
        head = {"name": mutant.name, "line": mutant.lines[0], "operator": mutant.operator}
        with asked.out.open("a", encoding="utf-8") as rows:
            rows.write(json.dumps({**head, **row}, ensure_ascii=False) + "\n")
        place = f"{mutant.path.removeprefix(f'{PACKAGE}/')}:{mutant.lines[0]}"
        words = f"{row['outcome']:9} {place} {mutant.operator}"
        words = f"{words}: {mutant.was[:50]!r} -> {mutant.now[:50]!r}\n"
        os.write(told, words.encode())

    try:
        trials = []
        for mutant in wanted:
            one = trial(mutant, known, limit_s=asked.limit)
            if one.tests:
                trials.append(one)
            else:
                keep(mutant, {"outcome": "unreached"})
        on_copies = [one for one in trials if asked.copies or one.mutant.at_import]
        left = _in_a_child(
            [one for one in trials if one not in on_copies], scratch, asked.processes, keep
        )
        try_copies([*on_copies, *left], scratch, asked.processes, keep)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _in_a_child(trials: Sequence[Trial], scratch: Path, processes: int, keep: Any) -> list[Trial]:
    """`try_collected`, which imports the package, as this process must not."""
    left = scratch / "left.json"
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            names = [one.mutant.name for one in try_collected(trials, scratch, processes, keep)]
            left.write_text(json.dumps(names), encoding="utf-8")
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if status:
        raise SystemExit("The faults inside functions could not all be tried; see above.")
    names = set(json.loads(left.read_text(encoding="utf-8")))
    return [one for one in trials if one.mutant.name in names]


def _sources(folder: str) -> list[str]:
    place = ROOT / PACKAGE / folder
    paths = [place] if place.is_file() else sorted(place.rglob("*.py"))
    return [path.relative_to(ROOT).as_posix() for path in paths]


def _kept(out: Path) -> dict[str, list[Row]]:
    """Fault → its rows, oldest first."""
    rows: dict[str, list[Row]] = defaultdict(list)
    if out.is_file():
        for line in out.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows[row["name"]].append(row)
    return dict(rows)


def _equivalent() -> dict[str, str]:
    """Fault → why no test can notice it."""
    groups = yaml.safe_load(EQUIVALENT.read_text(encoding="utf-8")) or []
    return {name: group["why"] for group in groups for name in group["mutants"]}


def _open(mutant: Mutant, rows: dict[str, list[Row]]) -> bool:
    """Whether a fault has not been noticed and could be."""
    return rows[mutant.name][-1]["outcome"] != "noticed" and mutant.name not in _equivalent()


def _tell(planted: dict[str, list[Mutant]], rows: dict[str, list[Row]]) -> None:
    """Prints the table by folder, at first and now, and what nobody noticed."""
    equivalent = _equivalent()
    columns = ("planted", "noticed at first", "noticed", "equivalent", "survived", "unreached")
    print(f"| | {' | '.join(columns)} | share noticed |\n{'|---' * (len(columns) + 2)}|")
    total = dict.fromkeys(columns, 0)
    for folder, drawn in planted.items():
        count = dict.fromkeys(columns, 0)
        for mutant in drawn:
            if mutant.name in rows:
                first, last = (rows[mutant.name][place]["outcome"] for place in (0, -1))
                alike = last != "noticed" and mutant.name in equivalent
                count["planted"] += 1
                count["noticed at first"] += first == "noticed"
                count["equivalent" if alike else last] += 1
        _line(f"`{folder}`", count)
        total = {name: total[name] + count[name] for name in columns}
    _line("all", total)
    for drawn in planted.values():
        for mutant in drawn:
            if mutant.name in rows and _open(mutant, rows):
                print(f"{rows[mutant.name][-1]['outcome']}: {mutant.name}")


def _line(title: str, count: dict[str, int]) -> None:
    share = count["noticed"] / max(1, count["planted"] - count["equivalent"])
    print(f"| {title} | {' | '.join(map(str, count.values()))} | {100 * share:.0f} % |")


if __name__ == "__main__":
    main()
