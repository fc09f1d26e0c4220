"""The report as a browser shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.gallery.browsing import browser
from tests.last_resort import HANG_MS

from crosslight.report.inputs import ReportInputs


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
            """() => [...document.querySelectorAll(".results td, .card img, figcaption, dd")]
              .filter((one) => !one.closest(".strip, .sheet"))
              .filter((one) => one.getBoundingClientRect().right > 400.5)
              .map((one) => one.outerHTML.slice(0, 80))"""
        )
        assert outside == []
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        page.close()
