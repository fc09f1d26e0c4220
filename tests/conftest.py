import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.incapable import IncapableError

# As in `crosslight.cli.main`: tests share their cores with each other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

CONTINUOUS = os.environ.get("CI", "").lower() not in {"", "0", "false"}

# How fast a machine is says nothing about the code. In continuous integration everybody sees the
# same cases; elsewhere new ones are tried each time.
settings.register_profile(
    "crosslight",
    deadline=None,
    print_blob=True,
    derandomize=CONTINUOUS,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("crosslight")


def _refuse_skip(report: Any) -> None:
    """In continuous integration what a test needs is installed: a green run hides nothing."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}: with CI=true nothing may be skipped. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[Any]) -> Iterator[Any]:
    report = yield
    expected = hasattr(report, "wasxfail")
    incapable = call.excinfo is not None and isinstance(call.excinfo.value, IncapableError)
    if CONTINUOUS and report.skipped and not expected and not incapable:
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[Any]:
    report = yield
    if CONTINUOUS and report.skipped:
        _refuse_skip(report)
    return report
