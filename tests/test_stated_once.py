"""Facts of the domain that several rooms need: each stands in one file."""

import re
from pathlib import Path

import pytest

import crosslight

SOURCES = Path(crosslight.__file__).parent

FACTS = {
    "luma of BT.601": (r"0\.587", {"data/luma.py", "data/transforms.py"}),  # and CAJ's own rounding
    "names of distances": (r'Literal\[[^\]]*"euclidean"', {"types.py"}),
    "names of lights": (r'Literal\[[^\]]*"visible", "infrared"\]', {"types.py"}),
    "accelerators": (r'Literal\[[^\]]*"mps"', {"types.py"}),
    "endings of images": (r'"\.png"', {"data/formats.py"}),
    "endings of tables": (r'"\.pq"', {"data/formats.py"}),
    "dark cameras of SYSU-MM01": (r"\(3, 6\)", {"data/layouts/sysu_mm01.py"}),
    "shared room of SYSU-MM01": (r"3: 2\}|\(3, 2\)", {"data/layouts/sysu_mm01.py"}),
    "names of splits": (r'"query", "gallery", "multi-query"', {"data/splits.py"}),
    "ids of junk": (r"pids?(\"\))? (>= 0|< 0)", {"data/table.py"}),
}


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_is_stated_in_one_place(fact):
    pattern, places = FACTS[fact]
    found = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if "promenade" not in path.parts and re.search(pattern, _code(path))
    }
    assert found == places


def _code(path: Path) -> str:
    """Without docstrings, whose examples may say anything."""
    return re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
