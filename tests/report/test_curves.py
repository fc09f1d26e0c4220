import io
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from tests.report.test_ablation import _finished
from tests.report.test_reliability import CURVE as RELIABILITY

from crosslight.report.ablation import ablation_figure, as_rows
from crosslight.report.colours import SERIES
from crosslight.report.curves import MAX_POINTS, MAX_RANK, MOST_CURVES, cmc_figure, training_panels
from crosslight.report.reliability import reliability_figure
from crosslight.report.training_log import Series, TrainingLog, read_log

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


def _log(**values: list[float]) -> TrainingLog:
    return TrainingLog(
        losses={
            name: Series(iterations=np.arange(len(v), dtype=float), values=np.array(v))
            for name, v in values.items()
        }
    )


def test_losses_far_apart_get_a_logarithmic_axis() -> None:
    (near,) = training_panels(_log(id=[3.0, 2.0], triplet=[1.0, 0.5]))
    (far,) = training_panels(_log(id=[30.0, 2.0], triplet=[0.01, 0.005]))
    (signed,) = training_panels(_log(critic=[-5.0, 200.0]))
    assert [p.figure.axes[0].get_yscale() for p in (near, far, signed)] == [
        "linear",
        "log",
        "linear",
    ]
    (vanished,) = training_panels(_log(id=[3.0, 2.0], penalty=[1e-16, 1e-17]))
    axes = vanished.figure.axes[0]
    assert axes.get_yscale() == "symlog"
    assert axes.get_ylim()[0] == 0


def test_long_logs_are_thinned_without_changing_their_mean() -> None:
    values = np.random.default_rng(0).random(4000)
    (panel,) = training_panels(_log(id=list(values)))
    drawn = np.asarray(panel.figure.axes[0].lines[0].get_ydata())
    assert drawn.size == MAX_POINTS
    assert drawn.mean() == pytest.approx(values.mean())


def test_an_empty_log_has_no_figures(tmp_path: Path) -> None:
    assert training_panels(read_log(None)) == []
    assert training_panels(read_log(tmp_path / "absent.jsonl")) == []


def test_the_log_is_read_over_stages_damage_and_lost_figures(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"stage": "a", "iteration": 10, "losses": {"id": 2.0, "gan": null}, "lr": {"m": 0.1}}\n'
        '{"stage": "a", "iteration": 20, "losses": {"id": 1.0}, "lr": {"m": 0.01}}\n'
        '{"stage": "a", "iteration": 20, "validation": {"mAP": 0.5, "mAP_sd": 0.1}, "best": true}\n'
        "not json\n[1, 2]\n"
        '{"stage": "b", "iteration": 5, "losses": {"id": 0.5, "kl": 7}}\n'
        '{"stage": "b", "iterat',
        encoding="utf-8",
    )
    log = read_log(path)
    assert log.losses["id"].iterations.tolist() == [10, 20, 25]
    assert log.losses["id"].values.tolist() == [2.0, 1.0, 0.5]
    assert log.losses["kl"].iterations.tolist() == [25]
    assert "gan" not in log.losses
    assert log.learning_rates["m"].values.tolist() == [0.1, 0.01]
    assert list(log.validation) == ["mAP"]
    assert log.stage_starts == {"a": 0, "b": 20}
    assert [panel.title for panel in training_panels(log)] == [
        "Losses and figures",
        "Learning rate",
        "Validation",
    ]


def test_weights_that_move_or_are_not_1_are_drawn_for_each_stage(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    steps = range(10, 110, 10)
    ramps = {
        "teacher": {n: {"loss_id": 1.0} for n in steps},
        "warm-up": {n: {"loss_id": 1.0, "loss_fine": 0.4} for n in steps},
        "joint": {n: {"loss_id": 1.0, "loss_fine": n / 100, "loss_gan": -0.1} for n in steps},
    }
    lines = [
        {"stage": stage, "iteration": n, "weights": weights}
        for stage, points in ramps.items()
        for n, weights in points.items()
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    first, second = training_panels(read_log(path))
    assert (first.title, list(first.curves)) == ("Loss weights, warm-up", ["loss_fine"])
    assert (second.title, list(second.curves)) == ("Loss weights, joint", ["loss_fine", "loss_gan"])
    assert first.note == second.note == "Weight 1 throughout: loss_id."
    fine, gan = second.figure.axes[0].lines
    assert np.asarray(fine.get_xdata()).tolist() == [200 + n for n in steps]
    assert np.asarray(fine.get_ydata()).tolist() == [n / 100 for n in steps]
    assert set(np.asarray(gan.get_ydata()).tolist()) == {-0.1}
    assert second.figure.axes[0].get_ylim()[0] < -0.1


def test_weights_decades_apart_are_all_seen() -> None:
    steps = np.arange(1.0, 5.0)
    weights = {"loss_recon": 5.0, "loss_penalty": 0.01, "loss_cross": 0.0}
    log = TrainingLog(
        weights={n: Series(iterations=steps, values=np.full(4, w)) for n, w in weights.items()}
    )
    (panel,) = training_panels(log)
    assert panel.title == "Loss weights"
    axes = panel.figure.axes[0]
    heights = [axes.transAxes.inverted().transform(axes.transData.transform((1, w)))[1]
               for w in weights.values()]  # fmt: skip
    assert np.diff(sorted(heights)).min() > 0.1


def test_many_weights_are_parted_and_none_is_lost() -> None:
    steps = np.arange(1.0, 5.0)
    names = [f"loss_{number}" for number in range(MOST_CURVES + 3)]
    log = TrainingLog(
        weights={name: Series(iterations=steps, values=np.full(4, 2.0)) for name in names}
    )
    first, second = training_panels(log)
    assert (first.title, second.title) == ("Loss weights (1 of 2)", "Loss weights (2 of 2)")
    assert [*first.curves, *second.curves] == names


def test_a_learning_rate_that_falls_to_nothing_is_drawn() -> None:
    rates = Series(iterations=np.arange(3.0), values=np.array([1e-3, 1e-5, 1e-8]))
    (panel,) = training_panels(TrainingLog(learning_rates={"model": rates}))
    figure = panel.figure
    assert figure.axes[0].get_yscale() == "log"
    figure.savefig(io.BytesIO())


def _curve(*iterations: float) -> Series:
    return Series(iterations=np.array(iterations), values=np.linspace(2, 1, len(iterations)))


def test_many_losses_are_parted_by_stage_and_no_two_share_a_colour() -> None:
    losses = {f"image_{n}": _curve(10, 20, 30) for n in range(MOST_CURVES + 3)}
    losses |= {f"feature_{n}": _curve(30, 40) for n in range(4)}
    log = TrainingLog(losses=losses, stage_starts={"image": 0, "feature": 20})
    panels = training_panels(log)
    assert [panel.title for panel in panels] == [
        "Losses, image (1 of 2)",
        "Losses, image (2 of 2)",
        "Losses, feature",
    ]
    assert [name for panel in panels for name in panel.curves] == list(losses)
    for panel in panels:
        colours = {line.get_label(): line.get_color() for line in panel.figure.axes[0].lines}
        named = [colours[name] for name in panel.curves]
        assert len(set(named)) == len(named)


def test_no_line_joins_what_a_rest_parts() -> None:
    rates = {"critic": _curve(10, 20, 50, 60), "main": _curve(10, 20, 30, 40, 50, 60)}
    stages = {"warm-up": 0, "rest": 20, "joint": 40}
    (panel,) = training_panels(TrainingLog(learning_rates=rates, stage_starts=stages))
    critic = [line for line in panel.figure.axes[0].lines if line.get_color() == SERIES[0]]
    assert [line.get_xdata().tolist() for line in critic] == [[10, 20], [50, 60]]


def test_no_legend_hides_a_point_or_is_cut_off() -> None:
    names = [f"loss_{'very_' * n}long" for n in range(MOST_CURVES)]
    losses = {name: _curve(10, 20) for name in names}
    curves = dict.fromkeys(["sysu-mm01/all/1", "regdb/infrared-to-visible"], CURVE)
    finished = [_finished(variant, 0, rank1) for variant, rank1 in (("a", 0.0), ("b", 1.0))]
    reliability = dict.fromkeys(["across light", "within light"], RELIABILITY)
    for figure in (
        *(panel.figure for panel in training_panels(TrainingLog(losses=losses))),
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
