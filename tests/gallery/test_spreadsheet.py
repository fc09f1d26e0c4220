"""Tables that are not run."""

from __future__ import annotations

import csv
import io

import pytest

from crosslight.gallery.spreadsheet import as_csv


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum(a)", "\t=1", "\r=1"])
def test_a_text_that_begins_like_a_formula_stays_a_text(text: str) -> None:
    table = as_csv(("a", "b"), [{"a": text, "b": f"x{text}"}])
    _, row = csv.reader(io.StringIO(table, newline=""))
    assert row == [f"'{text}", f"x{text}"]


def test_numbers_stay_numbers_and_other_columns_are_left_out() -> None:
    rows = [{"b": -0.5, "a": None, "c": 7}, {"a": 'x, "y"', "b": -1}]
    assert as_csv(("a", "b"), rows) == 'a,b\r\n,-0.5\r\n"x, ""y""",-1\r\n'
