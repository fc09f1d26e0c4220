import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from tests.report.test_ablation import _finished
from tests.report.test_reliability import CURVE as RELIABILITY

from crosslight.report.ablation import ablation_figure, as_rows
from crosslight.report.curves import MAX_RANK, cmc_figure
from crosslight.report.reliability import reliability_figure

CURVE = np.linspace(0.2, 1.0, 30)


def test_cmc_draws_each_protocol_and_its_chance_dashed() -> None:
    figure = cmc_figure({"one": CURVE, "two": CURVE / 2}, {"one": CURVE / 4, "two": CURVE / 8})
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines) == ["one", "one, chance", "two", "two, chance"]
    assert lines["one"].get_linestyle() == "-"
    assert lines["one, chance"].get_linestyle() == "--"
    assert np.allclose(lines["two"].get_ydata(), CURVE / 2)
    assert np.array_equal(lines["two"].get_xdata(), np.arange(1, 31))


def test_cmc_of_one_image_and_of_a_large_gallery() -> None:
    figure = cmc_figure({"one": np.ones(1), "long": np.ones(200)}, {})
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [1, MAX_RANK]


def test_no_legend_hides_a_point_or_is_cut_off() -> None:
    curves = dict.fromkeys(["sysu-mm01/all/1", "regdb/infrared-to-visible"], CURVE)
    finished = [_finished(variant, 0, rank1) for variant, rank1 in (("a", 0.0), ("b", 1.0))]
    reliability = dict.fromkeys(["across light", "within light"], RELIABILITY)
    for figure in (
        cmc_figure(curves, curves),
        ablation_figure(as_rows(finished, ["a", "b"])),
        reliability_figure(reliability),
    ):
        FigureCanvasAgg(figure).draw()
        (axes,) = figure.axes
        box = figure.legends[0].get_window_extent()
        assert not box.overlaps(axes.get_window_extent())
        width, height = figure.get_size_inches() * figure.dpi
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
