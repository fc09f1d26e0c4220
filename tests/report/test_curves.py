import io
from pathlib import Path

import numpy as np
import pytest

from crosslight.report.curves import MAX_POINTS, MAX_RANK, cmc_figure, training_figures
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
    ((_, near),) = training_figures(_log(id=[3.0, 2.0], triplet=[1.0, 0.5]))
    ((_, far),) = training_figures(_log(id=[30.0, 2.0], triplet=[0.01, 0.005]))
    ((_, signed),) = training_figures(_log(critic=[-5.0, 200.0]))
    assert [f.axes[0].get_yscale() for f in (near, far, signed)] == ["linear", "log", "linear"]


def test_long_logs_are_thinned_without_changing_their_mean() -> None:
    values = np.random.default_rng(0).random(4000)
    ((_, figure),) = training_figures(_log(id=list(values)))
    drawn = np.asarray(figure.axes[0].lines[0].get_ydata())
    assert drawn.size == MAX_POINTS
    assert drawn.mean() == pytest.approx(values.mean())


def test_an_empty_log_has_no_figures(tmp_path: Path) -> None:
    assert training_figures(read_log(None)) == []
    assert training_figures(read_log(tmp_path / "absent.jsonl")) == []


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
    assert [caption for caption, _ in training_figures(log)] == [
        "Losses and figures",
        "Learning rate",
        "Validation",
    ]


def test_a_learning_rate_that_falls_to_nothing_is_drawn() -> None:
    rates = Series(iterations=np.arange(3.0), values=np.array([1e-3, 1e-5, 1e-8]))
    ((_, figure),) = training_figures(TrainingLog(learning_rates={"model": rates}))
    assert figure.axes[0].get_yscale() == "log"
    figure.savefig(io.BytesIO())
