import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from crosslight.report.colours import IN_THE_DARK, INK, MODALITY_COLOUR, SERIES, SURFACE
from crosslight.report.embedded import as_chart, colour_variables
from crosslight.report.palette import contrast, label, luminance, new_axes, people_colours
from crosslight.report.symbols import as_html, mathtext


def _figure() -> Figure:
    figure, axes = new_axes(3, 2)
    axes.plot([0.0001, 0.0002], [1, 2], color=SERIES[0])
    label(axes, x='a < b & "c"', title="0.123456")
    return figure


def test_a_chart_has_words_variables_for_colours_and_nothing_for_files_of_its_own() -> None:
    chart = as_chart(_figure(), 'said: "x" < 1')
    text = str(chart.svg)
    assert text.startswith("<svg ")
    assert text.endswith("</svg>")
    assert 'aria-label="said: &quot;x&quot; &lt; 1"' in text
    assert ">a &lt; b &amp; &quot;c&quot;</text>" in text or '>a &lt; b &amp; "c"</text>' in text
    assert ">0.123456</text>" in text, "only coordinates are rounded"
    for unwanted in ("<style", "<metadata", "<!--", "http", "font-family", "<g id", *IN_THE_DARK):
        assert unwanted not in text
    used = set(re.findall(r"var\((--[^)]+)\)", text))
    for dark in (False, True):
        given = dict(re.findall(r"(--[\w-]+): (#\w+);", colour_variables(dark=dark)))
        assert used <= set(given)
    assert as_chart(_figure(), "x").svg == as_chart(_figure(), "x").svg


def test_every_colour_of_a_chart_is_seen_on_white_and_in_the_dark() -> None:
    dark = IN_THE_DARK[SURFACE]
    for colour in {*SERIES, *MODALITY_COLOUR.values()}:
        assert contrast(colour, SURFACE) > 2
        assert contrast(IN_THE_DARK[colour], dark) > 4.5
    assert contrast(IN_THE_DARK[INK], dark) > 7
    assert len(set(IN_THE_DARK.values())) == len(IN_THE_DARK), "none merges with another"


def test_people_are_seen_on_white_and_in_the_dark_by_one_colour() -> None:
    colours = people_colours(24)
    assert len(set(colours)) == 24
    assert min(contrast(colour, SURFACE) for colour in colours) > 3
    assert min(contrast(colour, IN_THE_DARK[SURFACE]) for colour in colours) > 3


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert np.isclose(luminance("#ff0000"), 0.2126)


@pytest.mark.parametrize(
    ("symbol", "drawn", "element"),
    [
        ("w", "$w$", "w"),
        ("L_{id}^s", "$L_{\\mathrm{id}}^s$", "L<sub>id</sub><sup>s</sup>"),
        ("L_{recon}^{img_1}", "$L_{\\mathrm{recon}}^{\\mathrm{img_1}}$",
         "L<sub>recon</sub><sup>img<sub>1</sub></sup>"),
        ("<_2", "$<_2$", "&lt;<sub>2</sub>"),
    ],
)  # fmt: skip
def test_symbols_are_written_as_their_paper_does(symbol: str, drawn: str, element: str) -> None:
    assert mathtext(symbol) == drawn
    assert as_html(symbol) == element
