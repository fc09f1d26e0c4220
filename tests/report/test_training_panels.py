import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray

from crosslight.methods.terms import Term
from crosslight.report.colours import PLAIN, WEIGHTED
from crosslight.report.training_log import Series, TrainingLog, read_log
from crosslight.report.training_panels import (
    FEW_POINTS,
    MAX_POINTS,
    Panel,
    running_mean,
    training_figure,
    training_panels,
)

FINE = Term(meaning="the fine head sees the person of the structure", symbol="L_{fine}", equation=9)


def _log(**values: list[float]) -> TrainingLog:
    return TrainingLog(
        losses={
            name: Series(iterations=np.arange(len(v), dtype=float), values=np.array(v))
            for name, v in values.items()
        }
    )


def _curve(*iterations: float) -> Series:
    return Series(iterations=np.array(iterations), values=np.linspace(2, 1, len(iterations)))


def _weighed(losses: Mapping[str, Series], weights: Mapping[str, float]) -> TrainingLog:
    """Losses of a weight that stands still."""

    def of(name: str, values: NDArray[np.float64]) -> Series:
        return Series(iterations=losses[name].iterations, values=values)

    plain = {name: losses[name].values for name in weights}
    return TrainingLog(
        losses=losses,
        weights={name: of(name, np.full_like(plain[name], w)) for name, w in weights.items()},
        weighted={name: of(name, w * plain[name]) for name, w in weights.items()},
    )


def _drawn(panel: Panel) -> list[Axes]:
    figure = panel.figure()
    FigureCanvasAgg(figure).draw()
    return figure.axes


def test_every_loss_has_a_panel_of_its_own_in_the_order_of_the_log() -> None:
    losses = {f"loss_{n}": _curve(10, 20, 30) for n in range(17)}
    panels = training_panels(TrainingLog(losses={"accuracy": _curve(10, 20), **losses}))
    assert [panel.name for panel in panels] == [*losses, "accuracy"], "what is only watched is last"
    assert [panel.kind for panel in panels] == ["loss"] * 17 + ["figure"]
    assert all(list(panel.curves) == [panel.name] for panel in panels)


def test_all_panels_of_losses_share_the_axis_of_iterations() -> None:
    losses = {"loss_first": _curve(10, 20), "loss_last": _curve(90, 100)}
    panels = training_panels(TrainingLog(losses=losses))
    limits = [_drawn(panel)[0].get_xlim() for panel in panels]
    assert limits[0] == limits[1]
    assert limits[0][0] <= 0
    assert limits[0][1] >= 100


def test_losses_far_apart_get_a_logarithmic_axis() -> None:
    near, far, signed, vanished = training_panels(
        _log(near=[3.0, 2.0], far=[30.0, 0.01], signed=[-5.0, 200.0], vanished=[3.0, 1e-16])
    )
    scales = [_drawn(panel)[0].get_yscale() for panel in (near, far, signed, vanished)]
    assert scales == ["linear", "log", "linear", "symlog"]
    assert _drawn(vanished)[0].get_ylim()[0] == 0


def test_no_point_of_a_loss_lies_outside_its_axes() -> None:
    for values in ([4.8, 4.7, 4.6], [-5.0, 200.0], [0.0, 0.0], [2.0], [30.0, 0.01]):
        (panel,) = training_panels(_log(loss=values))
        low, high = _drawn(panel)[0].get_ylim()
        assert low <= min(values) <= max(values) < high


def test_long_logs_are_thinned_without_changing_their_mean() -> None:
    values = np.random.default_rng(0).random(4000)
    (panel,) = training_panels(_log(loss=list(values)))
    faint, line = _drawn(panel)[0].lines
    assert faint.get_alpha() < 0.5
    drawn = np.asarray(faint.get_ydata())
    assert drawn.size == MAX_POINTS
    assert drawn.mean() == pytest.approx(values.mean())
    assert np.std(line.get_ydata()) < 0.5 * drawn.std()


def test_few_points_are_marked_and_not_smoothed() -> None:
    values = list(np.random.default_rng(0).random(FEW_POINTS))
    (panel,) = training_panels(_log(loss=values))
    (line,) = _drawn(panel)[0].lines
    assert line.get_marker() == "o"
    assert np.asarray(line.get_ydata()).tolist() == values


def test_the_running_mean_keeps_ends_lines_and_length() -> None:
    line = np.arange(101.0)
    assert np.allclose(running_mean(line), line)
    values = np.random.default_rng(1).random(100)
    smooth = running_mean(values)
    assert (smooth[0], smooth[-1]) == (pytest.approx(values[0]), pytest.approx(values[-1]))
    assert smooth[50] == pytest.approx(values[47:54].mean())


def test_a_weight_that_stands_still_is_told_and_read_on_an_axis_of_its_own() -> None:
    log = _weighed({"loss_recon": _curve(10, 20), "loss_id": _curve(10, 20)},
                   {"loss_recon": 5.0, "loss_id": 1.0})  # fmt: skip
    recon, own = training_panels(log)
    assert (recon.counts, own.counts) == ("× 5", "")
    (axes,) = _drawn(recon)
    (right,) = axes.child_axes
    assert right.get_ylim() == pytest.approx(tuple(5 * y for y in axes.get_ylim()))
    assert not _drawn(own)[0].child_axes


@pytest.mark.parametrize("weight", [0.0, -0.1])
def test_weights_of_nothing_and_below_are_told(weight: float) -> None:
    (panel,) = training_panels(_weighed({"loss": _curve(10, 20)}, {"loss": weight}))
    assert panel.counts == f"× {weight:.3g}"
    assert not _drawn(panel)[0].child_axes


def test_a_ramp_is_drawn_below_and_what_it_makes_of_the_loss_beside_it() -> None:
    steps = np.arange(10.0, 110, 10)
    plain = Series(iterations=steps, values=np.full(10, 2.0))
    log = TrainingLog(
        losses={"loss_fine": plain},
        weights={"loss_fine": Series(iterations=steps, values=steps / 100)},
        weighted={"loss_fine": Series(iterations=steps, values=steps / 50)},
    )
    (panel,) = training_panels(log, {"loss_fine": FINE})
    assert panel.counts == "× 0.1 → 1"
    axes, below = _drawn(panel)
    colours = {line.get_color(): np.asarray(line.get_ydata()).tolist() for line in axes.lines}
    assert colours == {PLAIN: [2.0] * 10, WEIGHTED: (steps / 50).tolist()}
    (ramp,) = below.lines
    assert np.asarray(ramp.get_ydata()).tolist() == (steps / 100).tolist()
    assert np.asarray(ramp.get_xdata()).tolist() == steps.tolist()
    assert below.get_xlim() == axes.get_xlim()


def test_a_loss_that_counts_from_later_on_has_the_weight_0_before() -> None:
    early, late = _curve(10, 20, 110, 120, 130, 140), _curve(130, 140)
    ramp = np.array([0.5, 2.0])
    log = TrainingLog(
        losses={"loss_a": early, "loss_b": late},
        weights={"loss_b": Series(iterations=late.iterations, values=ramp)},
        weighted={"loss_b": Series(iterations=late.iterations, values=ramp * late.values)},
        stage_starts={"first": 0.0, "second": 100.0},
    )
    panel = training_panels(log)[1]
    assert panel.counts == "× 0 → 2"
    assert panel.weight is not None
    assert panel.weight.curve.iterations.tolist() == [110, 120, 130, 140], "its own stage alone"
    assert panel.weight.curve.values.tolist() == [0, 0, 0.5, 2]
    below = _drawn(panel)[1]
    assert [tick.get_text() for tick in below.get_yticklabels()] == ["0", "2"]


def test_a_weight_that_rises_and_falls_is_told_by_its_extremes() -> None:
    steps = np.arange(10.0, 50, 10)
    values = np.array([0.5, 2.0, 0.1, 0.5])
    series = Series(iterations=steps, values=values)
    log = TrainingLog(losses={"a": series}, weights={"a": series}, weighted={"a": series})
    assert training_panels(log)[0].counts == "× 0.1 to 2"


def test_a_loss_that_no_update_counts_is_said_to_train_nothing() -> None:
    log = _weighed({"loss_id": _curve(10), "loss_seen": _curve(10), "accuracy": _curve(10)},
                   {"loss_id": 1.0})  # fmt: skip
    assert [panel.counts for panel in training_panels(log)] == ["", "trains nothing", ""]
    old = TrainingLog(losses=log.losses)
    assert [panel.counts for panel in training_panels(old)] == ["", "", ""], "nobody knows"


def test_stages_are_shaded_and_named_where_there_is_room() -> None:
    stages = {"teacher": 0.0, "an-intermezzo": 500.0, "joint": 510.0}
    log = TrainingLog(losses={"loss": _curve(*range(10, 1010, 10))}, stage_starts=stages)
    (panel,) = training_panels(log)
    assert panel.stages == {"teacher": (0, 500), "an-intermezzo": (500, 510), "joint": (510, 1000)}
    (axes,) = _drawn(panel)
    assert [text.get_text() for text in axes.texts] == ["teacher", "joint"]
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == (500, 10)


def test_no_line_joins_what_a_stage_parts() -> None:
    log = TrainingLog(losses={"loss": _curve(10, 20, 50, 60)}, stage_starts={"one": 0, "two": 20})
    (axes,) = _drawn(training_panels(log)[0])
    assert [np.asarray(line.get_xdata()).tolist() for line in axes.lines] == [[10, 20], [50, 60]]


def test_each_stage_shows_the_rates_of_the_optimizers_at_work_in_it() -> None:
    rates = {
        "critic": _curve(30, 40),
        "generator": _curve(30, 40),
        "identity": _curve(10, 20, 30, 40),
    }
    log = TrainingLog(learning_rates=rates, stage_starts={"first": 0, "joint": 20})
    first, joint = training_panels(log)
    assert (first.name, list(first.curves)) == ("learning rate, first", ["identity"])
    assert (joint.name, list(joint.curves)) == (
        "learning rate, joint",
        ["critic, generator", "identity"],
    ), "equal rates are one line"
    assert _drawn(joint)[0].get_xlim()[0] > 10


def test_a_learning_rate_that_falls_to_nothing_is_drawn() -> None:
    rates = Series(iterations=np.arange(1.0, 4), values=np.array([1e-3, 1e-5, 1e-8]))
    (panel,) = training_panels(TrainingLog(learning_rates={"model": rates}))
    figure = panel.figure()
    assert figure.axes[0].get_yscale() == "log"
    figure.savefig(io.BytesIO())


def test_no_legend_hides_a_point_or_is_cut_off() -> None:
    names = ["rank1", "rank5", "rank10", "rank20", "mAP", "mINP"]
    scores = {name: Series(iterations=np.array([10.0, 20]), values=np.ones(2)) for name in names}
    rates = {f"optimizer-{n}": _curve(10, 20 + n) for n in range(4)}
    for panel in training_panels(TrainingLog(validation=scores, learning_rates=rates)):
        (axes,) = _drawn(panel)
        legend = axes.get_legend()
        assert legend is not None
        box = legend.get_window_extent()
        assert not box.overlaps(axes.get_window_extent())
        figure = axes.get_figure()
        assert figure is not None
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1


def test_a_title_has_symbol_equation_name_and_weight_and_is_not_cut() -> None:
    long = "loss_" + "very_" * 12 + "long"
    log = _weighed({"loss_fine": _curve(10, 20), long: _curve(10, 20)},
                   {"loss_fine": 0.4, long: 1.0})  # fmt: skip
    figure = training_figure(log, {"loss_fine": FINE}, columns=2)
    FigureCanvasAgg(figure).draw()
    first, second = figure.axes
    assert first.get_title("left") == "$L_{\\mathrm{fine}}$  eq. 9\nloss_fine"
    assert first.get_title("right") == "× 0.4"
    assert second.get_title("left").replace("\n", "") == long
    for axes in (first, second):
        box = axes._left_title.get_window_extent()  # type: ignore[attr-defined]
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1


def test_an_empty_log_has_no_panels(tmp_path: Path) -> None:
    assert training_panels(read_log(None)) == []
    assert training_panels(read_log(tmp_path / "absent.jsonl")) == []
    FigureCanvasAgg(training_figure(read_log(None))).draw()


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
    assert [panel.name for panel in training_panels(log)] == [
        "id", "kl", "learning rate, a", "validation",
    ]  # fmt: skip


def test_what_weights_make_of_losses_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    line = {"stage": "a", "iteration": 10, "losses": {"x": 2.0}, "weights": {"x": 0.5},
            "weighted": {"x": 0.9}}  # fmt: skip
    path.write_text(json.dumps(line), encoding="utf-8")
    (panel,) = training_panels(read_log(path))
    assert panel.weight is not None
    assert panel.weight.counted.values.tolist() == [0.9], "as the run counted it, not a product"
