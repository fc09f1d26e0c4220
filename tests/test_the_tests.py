"""What holds for every test: none depends on speed, and a skip cannot pass for a success."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosslight.registry import METHODS

ROOT = Path(__file__).parents[1]
CLOCKS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
          "process_time", "process_time_ns"}  # fmt: skip
WAITS = {"wait", "join", "wait_for", "timeout", "alarm", "communicate"}


def _is_number(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
    )


def _faults(source: str) -> Iterator[str]:
    """Waits that end at a number of seconds written here, sleeps, deadlines and clocks."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        owner = called.value if isinstance(called, ast.Attribute) else None
        module = owner.id if isinstance(owner, ast.Name) else ""
        limits = [k.value for k in node.keywords if k.arg and "timeout" in k.arg]
        if name in WAITS:
            limits += node.args
        if name == "sleep" and not (len(node.args) == 1 and ast.unparse(node.args[0]) == "0"):
            yield f"line {node.lineno} sleeps: wait for the event instead"
        elif any(_is_number(limit) for limit in limits):
            yield f"line {node.lineno} waits for a time: use tests.last_resort.HANG_S"
        elif any(k.arg == "deadline" for k in node.keywords):
            yield f"line {node.lineno} sets a deadline: tests/conftest.py has taken it away"
        elif module == "time" and name in CLOCKS:
            yield f"line {node.lineno} reads the clock: speed is measured in benchmarks/"


@pytest.mark.parametrize(
    "source",
    ["time.sleep(1)", "sleep(0.1)", "run(command, timeout=60)", "thread.join(5)", "p.wait(3)",
     "page.set_default_timeout(timeout=30_000)", "settings(deadline=200)", "time.monotonic()",
     "asyncio.wait_for(reply, 3)"],
)  # fmt: skip
def test_what_depends_on_speed_is_seen(source: str) -> None:
    assert list(_faults(source))


def test_no_test_depends_on_speed() -> None:
    found = {
        str(path.relative_to(ROOT)): faults
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path.name != "conftest.py" and (faults := list(_faults(path.read_text("utf-8"))))
    }
    assert not found


def test_every_method_has_an_oracle_of_its_iterations() -> None:
    modules = {place.partition(":")[0].rpartition(".")[2] for place in METHODS.values()}
    lacking = []
    for module in sorted(modules):
        path = ROOT / "tests" / "oracles" / f"{module}.py"
        functions = ast.walk(ast.parse(path.read_text("utf-8"))) if path.is_file() else ()
        if not any(isinstance(f, ast.FunctionDef) and f.name == "step" for f in functions):
            lacking.append(str(path.relative_to(ROOT)))
    assert not lacking


SKIPPING = {
    "test_part.py": "import pytest\npytest.importorskip('nowhere', reason='install nowhere')\n",
    "test_others.py": """
import pytest
from tests.incapable import IncapableError

@pytest.fixture
def browser():
    pytest.skip("install a browser")

def test_with_it(browser): pass

@pytest.mark.skipif(True, reason="install another build")
def test_marked(): pass

def test_inside(): pytest.skip("install a folder")

@pytest.mark.xfail(reason="known")
def test_known(): assert False

def test_machine(): raise IncapableError("this processor cannot")
""",
}


@pytest.mark.parametrize("ci", ["true", ""])
def test_in_continuous_integration_a_missing_part_is_a_failure(tmp_path: Path, ci: str) -> None:
    for name, source in SKIPPING.items():
        (tmp_path / name).write_text(source)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-ra", "-p", "tests.conftest"),
            *("--rootdir", str(tmp_path), "--continue-on-collection-errors", str(tmp_path)),
        ],
        cwd=tmp_path,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    reasons = ("nowhere", "a browser", "another build", "a folder")
    assert all(f"install {reason}" in done.stdout for reason in reasons)
    if ci:
        assert done.returncode == 1
        assert "1 failed, 1 skipped, 1 xfailed, 3 errors" in done.stdout
        assert done.stdout.count("with CI=true nothing may be skipped") >= len(reasons)
    else:
        assert done.returncode == 0
        assert "5 skipped, 1 xfailed" in done.stdout
