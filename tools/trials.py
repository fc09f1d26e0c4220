"""Tries planted faults: each in a process of its own, where tests run until one fails.

A fault inside a function is tried in a process that has everything imported and all tests
collected: a child of it gives the function its faulty code, also where that is compiled to machine
code. A fault in what runs at import (a default, a constant) is tried on a copy of the package made
of links. The source is never touched, so nothing stays however the work ends.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path, PurePosixPath
from types import CodeType, FunctionType, ModuleType
from typing import Any, NoReturn

from known_tests import KnownTests
from mutations import PACKAGE, ROOT, Mutant

PRELOADED = (
    *("torch", "torchvision.transforms.v2", "timm", "lightning_fabric", "numba", "scipy.stats"),
    *("scipy.sparse.csgraph", "polars", "PIL.Image", "pydantic", "hypothesis", "sklearn", "pytest"),
    *("_pytest.assertion.rewrite", "xdist", "safetensors.torch", "tyro", "rich.progress"),
    *("torch.utils.tensorboard", "pyarrow", "jinja2"),
)
OPTIONS = ("-q", "-s", "-p", "no:cacheprovider", "--hypothesis-seed=0")
NOT_PLANTED = 71

Row = dict[str, Any]
Keep = Callable[[Mutant, Row], None]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A fault and who tries it."""

    mutant: Mutant
    tests: Sequence[str]
    cut: bool
    cpu_s: int


def trial(mutant: Mutant, known: KnownTests, *, limit_s: float) -> Trial:
    """Chooses a fault's tests."""
    tests, cut = known.of(mutant, limit_s=limit_s)
    expected = sum(known.time(name) for name in tests)
    return Trial(mutant=mutant, tests=tests, cut=cut, cpu_s=int(180 + 4 * expected))


def try_collected(
    trials: Sequence[Trial], scratch: Path, processes: int, keep: Keep
) -> list[Trial]:
    """Tries faults inside functions; gives those that cannot be planted there."""
    files = sorted({name.partition("::")[0] for one in trials for name in one.tests})
    if not files:
        return []
    loop = _Loop(trials, scratch, processes, keep)
    sys.path.insert(0, str(ROOT / "src"))
    status = importlib.import_module("pytest").main([*OPTIONS, *files], plugins=[loop])
    if status not in {0, 1} or not loop.began:
        raise SystemExit(f"The tests could not be collected: pytest ended with {status}.")
    return loop.left


class _Loop:
    """A plug-in of pytest: instead of running the tests, tries faults on them."""

    def __init__(self, trials: Sequence[Trial], scratch: Path, processes: int, keep: Keep) -> None:
        self.trials, self.scratch, self.processes, self.keep = trials, scratch, processes, keep
        self.left: list[Trial] = []
        self.began = False
        self.failure: Path | None = None

    def pytest_runtestloop(self, session: Any) -> bool:
        """Takes the place of pytest's own loop."""
        self.began = True
        by_name: dict[str, list[Any]] = {}
        for item in session.items:
            by_name.setdefault(item.nodeid, []).append(item)
            by_name.setdefault(item.nodeid.partition("[")[0], []).append(item)

        def run(one: Trial, folder: Path) -> NoReturn:
            if not plant(one.mutant):
                os._exit(NOT_PLANTED)
            self.failure = folder / "failed"
            items = list(dict.fromkeys(i for name in one.tests for i in by_name.get(name, ())))
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.failure.is_file():
                    os._exit(1)
            os._exit(0)

        for one, row in _rows(self.trials, self.scratch, self.processes, run):
            if row["status"] == NOT_PLANTED:
                self.left.append(one)
            else:
                self.keep(one.mutant, row)
        return True

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keeps a failure."""
        if report.failed and self.failure:
            self.failure.write_text(f"{report.nodeid}\n{report.longreprtext[-2000:]}")


def try_copies(trials: Sequence[Trial], scratch: Path, processes: int, keep: Keep) -> None:
    """Tries faults on copies of the package; must not have been imported here."""
    _preload()

    def run(one: Trial, folder: Path) -> NoReturn:
        copied(one.mutant, folder / "copy")
        sys.path.insert(0, str(folder / "copy"))
        os.environ["PYTHONPATH"] = str(folder / "copy")
        if one.mutant.compiled:
            # What is inlined into other files' code is compiled again, too.
            importlib.import_module("numba").config.CACHE_DIR = str(folder / "numba")
            os.environ["NUMBA_CACHE_DIR"] = str(folder / "numba")
        files = dict.fromkeys(name.partition("::")[0] for name in one.tests)
        chosen = _Chosen(one.tests, folder / "failed")
        os._exit(importlib.import_module("pytest").main([*OPTIONS, "-x", *files], plugins=[chosen]))

    for one, row in _rows(trials, scratch, processes, run):
        keep(one.mutant, row)


class _Chosen:
    """A plug-in of pytest: runs the chosen tests, in their order, and keeps which one failed."""

    def __init__(self, tests: Sequence[str], failure: Path) -> None:
        self.places = {name: place for place, name in enumerate(tests)}
        self.failure = failure

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Leaves out the others."""
        place = self.places
        placed = [(place.get(i.nodeid, place.get(i.nodeid.partition("[")[0])), i) for i in items]
        kept = [(number, item) for number, item in placed if number is not None]
        items[:] = [item for _, item in sorted(kept, key=lambda pair: pair[0])]

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keeps a failure."""
        if report.failed:
            self.failure.write_text(f"{report.nodeid}\n{report.longreprtext[-2000:]}")

    pytest_collectreport = pytest_runtest_logreport


def _rows(
    trials: Sequence[Trial],
    scratch: Path,
    processes: int,
    run: Callable[[Trial, Path], NoReturn],
) -> Iterator[tuple[Trial, Row]]:
    """Runs trials, so many at a time."""
    waiting = list(trials)[::-1]
    running: dict[int, tuple[Trial, Path, float]] = {}
    free = [scratch / str(number) for number in range(processes)]
    try:
        while waiting or running:
            while waiting and free:
                one, folder = waiting.pop(), free.pop()
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                pid = os.fork()
                if pid == 0:
                    _child(one, folder, run)
                running[pid] = (one, folder, time.monotonic())
            pid, status = os.wait()
            if pid not in running:
                continue
            one, folder, begun = running.pop(pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            free.append(folder)
            took = round(time.monotonic() - begun, 1)
            yield one, {**_outcome(one, folder, status), "took_s": took}
    finally:
        for pid in running:
            os.killpg(pid, signal.SIGKILL)


def _child(one: Trial, folder: Path, run: Callable[[Trial, Path], NoReturn]) -> NoReturn:
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (one.cpu_s, one.cpu_s + 30))
        with (folder / "output").open("wb") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "examples")
        os.chdir(ROOT)
        run(one, folder)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(70)


def _outcome(one: Trial, folder: Path, status: int) -> Row:
    by, why = "", ""
    failed = folder / "failed"
    if failed.is_file():
        by, _, words = failed.read_text(encoding="utf-8").partition("\n")
        why = next((line for line in words.splitlines() if line.startswith("E ")), words[-200:])
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        why = f"ended by {signal.Signals(-code).name}"
    elif code == 70:
        why = (folder / "output").read_text(encoding="utf-8", errors="replace")[-200:]
    outcome = "survived" if code in {0, 5} else "noticed"
    counted = {"tests": len(one.tests), "cut": one.cut}
    return {"outcome": outcome, "by": by, "why": why.strip()[:200], **counted, "status": code}


def copied(mutant: Mutant | None, folder: Path) -> None:
    """The package as links in a folder, where one file is another."""
    here, there = folder / "crosslight", ROOT / PACKAGE
    folder.mkdir(parents=True)
    if mutant is None:
        here.symlink_to(there, target_is_directory=True)
        return
    *folders, name = PurePosixPath(mutant.path).relative_to(PACKAGE).parts
    for deeper in (*folders, name):
        here.mkdir()
        for child in there.iterdir():
            if child.name not in {deeper, "__pycache__"}:
                (here / child.name).symlink_to(child)
        here, there = here / deeper, there / deeper
    here.write_bytes(mutant.source(ROOT))


def plant(mutant: Mutant) -> bool:
    """Gives a function of the imported package its faulty code; tells whether it could."""
    if mutant.at_import:
        return False
    name = PurePosixPath(mutant.path).relative_to("src").with_suffix("").as_posix()
    module = importlib.import_module(name.replace("/", ".").removesuffix(".__init__"))
    # The outermost function holds the code of those inside it.
    *classes, function = mutant.outermost.split(".")
    code = _code(compile(mutant.source(ROOT), str(ROOT / mutant.path), "exec"), mutant.outermost)
    owner: Any = module
    for step in classes:
        owner = vars(owner)[step]
    found = _plain(vars(owner).get(function))
    if code is None or found is None or found.__code__.co_freevars != code.co_freevars:
        return False
    found.__code__ = code
    _recompile(found)
    return True


def _code(tree: CodeType, qualified: str) -> CodeType | None:
    first, _, rest = qualified.partition(".")
    for inner in tree.co_consts:
        if isinstance(inner, CodeType) and inner.co_name == first:
            return _code(inner, rest) if rest else inner
    return None


def _plain(value: Any) -> FunctionType | None:
    """The function inside a property, a class method, a context manager or machine code."""
    for part in ("fget", "__func__", "func", "py_func"):
        value = getattr(value, part, value) if not isinstance(value, FunctionType) else value
    value = inspect.unwrap(value) if callable(value) else value
    return value if isinstance(value, FunctionType) else None


def _recompile(changed: FunctionType) -> None:
    """Takes stored machine code from what has this function's inside."""
    caching = importlib.import_module("numba.core.caching")
    dispatchers: dict[int, Any] = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("crosslight.") and isinstance(module, ModuleType):
            for value in vars(module).values():
                if hasattr(value, "py_func"):
                    dispatchers[id(value)] = value
    stale = {id(d) for d in dispatchers.values() if d.py_func is changed}
    grown = bool(stale)
    while grown:
        grown = False
        for key, dispatcher in dispatchers.items():
            own = dispatcher.py_func
            used = {id(own.__globals__.get(name)) for name in own.__code__.co_names}
            if key not in stale and used & stale:
                stale.add(key)
                grown = True
    for key in stale:
        dispatchers[key]._cache = caching.NullCache()


def _preload() -> None:
    """Imports once what every trial would import: all but the package itself."""
    name = "crosslight.data.torchvision_build"
    spec = spec_from_file_location(name, ROOT / "src" / f"{name.replace('.', '/')}.py")
    assert spec is not None
    assert spec.loader is not None
    # Without it torchvision may not be importable, and it cannot be run twice.
    sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    for library in PRELOADED:
        importlib.import_module(library)
