"""The report as a browser shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.gallery.browsing import browser
from tests.last_resort import HANG_MS
from tests.report.conftest import made_up_inputs

from crosslight.report.colours import IN_THE_DARK, MUTED, SERIES
from crosslight.report.html import render_report
from crosslight.report.inputs import ReportInputs
from crosslight.report.palette import contrast, luminance


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_at_phone_width_every_score_and_picture_is_in_sight(
    rendered: tuple[ReportInputs, str], tmp_path: Path, scheme: str
) -> None:
    file = tmp_path / "report.html"
    file.write_text(rendered[1], encoding="utf-8")
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 400, "height": 800}, color_scheme=scheme)
        page.set_default_timeout(HANG_MS)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        outside = page.evaluate(
            """() => [...document.querySelectorAll(
                ".results td, .card img, .card svg, figcaption, dd")]
              .filter((one) => !one.closest(".strip, .sheet"))
              .filter((one) => one.getBoundingClientRect().right > 400.5)
              .map((one) => one.outerHTML.slice(0, 80))"""
        )
        assert outside == []
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        page.close()


def test_a_ranked_list_is_whole_on_a_desk(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    useless = made_up_inputs(tmp_path, people=30, noise=1e4, protocols=("sysu-mm01/all/1",))
    file.write_text(render_report(useless), encoding="utf-8")
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1200, "height": 800})
        page.set_default_timeout(HANG_MS)
        page.goto(file.as_uri())
        cut = page.evaluate(
            """() => [...document.querySelectorAll("details[open] .strip")]
              .filter((one) => one.scrollWidth > one.clientWidth).length"""
        )
        shown = page.locator("details[open] .tile.first").count()
        page.close()
    assert cut == 0
    assert shown > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_lines_of_charts_stand_out_from_the_page(
    rendered: tuple[ReportInputs, str], tmp_path: Path, scheme: str
) -> None:
    file = tmp_path / "report.html"
    file.write_text(rendered[1], encoding="utf-8")
    with browser() as chromium:
        page = chromium.new_page(color_scheme=scheme)
        page.set_default_timeout(HANG_MS)
        page.goto(file.as_uri())
        colours = """(kind) => [...document.querySelectorAll(`.chart ${kind}`)]
          .map((one) => getComputedStyle(one)[kind === "text" ? "fill" : "stroke"])"""
        words, lines = ({*page.evaluate(colours, kind)} for kind in ("text", "path"))
        behind = {*page.evaluate(
            "[...document.querySelectorAll('.card')]"
            ".map((card) => getComputedStyle(card).backgroundColor)"
        )}  # fmt: skip
        page.close()
    (surface,) = {_as_hex(colour) for colour in behind}
    assert (luminance(surface) < 0.1) == (scheme == "dark")
    assert len(words) > 1
    assert min(contrast(_as_hex(colour), surface) for colour in words) > 4.5
    series = {IN_THE_DARK[c] if scheme == "dark" else c for c in (*SERIES, MUTED)}
    drawn = {_as_hex(colour) for colour in lines if colour.startswith("rgb(")}
    assert len(drawn & series) > 3
    # Okabe's and Ito's colours are made for being told apart, on white some of them are light.
    assert min(contrast(colour, surface) for colour in drawn & series) > (
        4.5 if scheme == "dark" else 2
    )


def _as_hex(colour: str) -> str:
    """`rgb(1, 2, 3)` as six digits."""
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour)[:3])
