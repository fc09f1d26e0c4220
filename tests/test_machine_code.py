"""Compiled code is kept where it can be, and needed nowhere."""

import sys

import numba
import pytest

from crosslight.data.promenade.noise import compiled as drawing
from crosslight.evaluation.ranking.compiled import compiled as ordered
from crosslight.evaluation.ranking.compiled import compiled_reordered, compiled_without_nan
from crosslight.machine_code import machine_code

COMPILERS = (machine_code, drawing, ordered, compiled_reordered, compiled_without_nan)


def double_from(file):
    space = {}
    exec(compile("def double(x):\n    return x * 2\n", file, "exec"), space)
    return space["double"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, where not even root can write")
@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_place_that_cannot_be_written_still_computes(compiler, monkeypatch):
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    function = double_from("/proc/version")
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(function)
    assert compiler(function)(21) == 42


@pytest.mark.parametrize("compiler", COMPILERS)
def test_code_is_kept_beside_the_source(compiler, tmp_path):
    source = tmp_path / "source.py"
    source.write_text("def double(x):\n    return x * 2\n")
    assert compiler(double_from(str(source)))(21) == 42
    assert list((tmp_path / "__pycache__").glob("*.nbc"))
