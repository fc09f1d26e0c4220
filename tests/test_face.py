"""What `import crosslight` offers, and that it costs nothing until it is used."""

import subprocess
import sys

import pytest

import crosslight as cl

HEAVY = {"torch", "numpy", "polars", "numba", "timm", "PIL", "yaml", "scipy"}


def test_importing_loads_nothing_heavy() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import crosslight, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "crosslight" in said
    assert not HEAVY & set(said)


@pytest.mark.parametrize("name", sorted(set(cl.__all__) - {"__version__"}))
def test_every_name_is_there_and_documented(name: str) -> None:
    found = getattr(cl, name)
    assert name in dir(cl)
    if name != "protocols":
        assert found.__doc__
    assert getattr(cl, name) is found


def test_all_is_what_is_loaded() -> None:
    assert set(cl.__all__) == {*cl._FACE, "__version__"}


def test_a_recipe_has_one_name() -> None:
    assert cl.Recipe.__name__ == "Recipe"
    assert type(cl.load_recipe("demo")) is cl.Recipe


def test_another_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'reid'"):
        cl.reid  # noqa: B018
