"""Times: seconds or ISO dates, in one stated zone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosslight.times import CALENDAR_FROM_S, LATEST_S, seconds_from, text_of

NOON = 1_777_636_800.0  # 2026-05-01T12:00Z


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3600", 3600.0),
        (" -0.5 ", -0.5),
        ("2026-05-01T12:00", NOON),
        ("2026-05-01 12:00:00.250", NOON + 0.25),
        ("2026-05-01T12:00Z", NOON),
        ("2026-05-01T21:00+09:00", NOON),
        ("2026-05-01", NOON - 12 * 3600),
        ("0001-01-01T00:00+23:59", -62_135_683_140.0),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_date_without_a_zone_is_utc_on_every_machine(monkeypatch, text, seconds, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert seconds_from(text) == seconds
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text",
    ["nan", "-inf", "Infinity", "1e999", "", "  ", "yesterday", "14:30", "2026-13-01", "\udce9"],
)
def test_what_is_no_time_is_told(text):
    with pytest.raises(
        ValueError, match=r"is no time; write seconds, like 3600, or a date"
    ) as told:
        seconds_from(text)
    assert repr(text) in str(told.value)


@pytest.mark.parametrize(
    "text", ["1700000000000", "1e300", "2200-01-01T00:00:00.001", "9999-12-31"]
)
def test_what_is_later_than_2200_is_refused(text):
    assert text_of(seconds_from("2200-01-01")) == text_of(LATEST_S) == "2200-01-01T00:00:00Z"
    with pytest.raises(ValueError, match=r"is after the year 2200; give seconds where these are"):
        seconds_from(text)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2026", "2026-01-01"),
        (" 1999 ", "1999-01-01"),
        ("20261102", "2026-11-02"),
        ("20240229", "2024-02-29"),
    ],
)
def test_a_bare_number_that_may_be_a_date_is_refused_with_both_ways_to_write_it(text, date):
    number = text.strip()
    with pytest.raises(
        ValueError,
        match=f"^{number} may be a date or seconds; write {date} for the date, or {number}.0 for",
    ):
        seconds_from(text)
    assert seconds_from(f"{number}.0") == float(number)
    assert text_of(seconds_from(date)) == f"{date}T00:00:00Z"


@pytest.mark.parametrize(
    "text",
    ["3600", "1800", "2200", "0", "202611", "20261302", "20260229", "10000000", "1777636800"],
)
def test_numbers_that_are_no_dates_are_seconds(text):
    assert seconds_from(text) == float(text)


def test_times_are_written_as_dates_and_short_ones_as_seconds():
    assert text_of(NOON) == "2026-05-01T12:00:00Z"
    assert text_of(NOON + 0.8) == "2026-05-01T12:00:00.800Z"
    assert text_of(NOON - 0.0001) == "2026-05-01T12:00:00Z"
    assert text_of(12.34) == "12.3 s"
    assert text_of(-1.0) == "-1.0 s"
    assert text_of(1e15) == "1000000000000000.0 s"


@given(st.floats(CALENDAR_FROM_S, LATEST_S - 0.001))
def test_a_date_that_was_written_is_read_again(seconds):
    assert seconds_from(text_of(seconds)) == pytest.approx(seconds, abs=0.0006, rel=0)
