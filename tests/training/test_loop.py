from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crosslight.config import Recipe
from crosslight.data.batch import Batch
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError, DataError, TrainingError
from crosslight.methods.contract import Method, Scheduled, Stage, Update
from crosslight.training.loop import FitSummary, fit
from crosslight.training.machines import Machines
from crosslight.training.run import RunFolder
from crosslight.training.weights import load_weights
from tests.training.people import draw_people
from tests.training.states import assert_same_state, lines, state, untimed
from tests.training.tiny import Tiny, TinyConfig, build, mean_feature, open_run, recipe

ITERATIONS = 3 + 3 * 4


class PowerCutError(Exception):
    """Stands for a power cut: nothing may run after it."""


class Cut(Tiny):
    """Trains until the power fails at some iteration over all stages."""

    cut_at = -1

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        if len(self.seen) == self.cut_at:
            raise PowerCutError
        return super().training_step(batch, update)


def train(
    table: SampleTable,
    path: Path,
    config: Recipe,
    *,
    method: Method | None = None,
    validated: bool = False,
    **options: Any,
) -> tuple[Method, FitSummary]:
    trained = method or build(config, table)
    summary = fit(
        table,
        config,
        open_run(path, config, table),
        method=trained,
        validate=mean_feature(table, config) if validated else None,
        progress=False,
        **options,
    )
    return trained, summary


def cut(table: SampleTable, path: Path, config: Recipe, at: int, **options: Any) -> None:
    method = Cut(config.config, num_ids=5, height=16, width=8)
    method.load_state_dict(build(config, table).state_dict())
    method.cut_at = at
    with pytest.raises(PowerCutError):
        train(table, path, config, method=method, **options)


@pytest.fixture(scope="module")
def uncut(table: SampleTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uncut") / "run"
    train(table, path, recipe(), validated=True)
    return path


def test_training_learns(table: SampleTable, tmp_path: Path) -> None:
    config = recipe(ids=4, config=TinyConfig(dropout=0, epochs=20))
    train(table, tmp_path, config)
    losses = [line["losses"]["id"] for line in lines(tmp_path)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


@pytest.mark.parametrize("at", [1, 3, 5, 6, 9, 12, 14])
def test_a_cut_training_continues_bit_for_bit(
    table: SampleTable, tmp_path: Path, uncut: Path, at: int
) -> None:
    config = recipe(workers=at % 3)
    cut(table, tmp_path, config, at, validated=True)
    other = recipe(workers=(at + 1) % 3, checkpoint_every=3)
    _, summary = train(table, tmp_path, other, validated=True)
    assert summary.iterations == ITERATIONS
    assert 0 <= summary.resumed_from <= at
    assert_same_state(state(uncut), state(tmp_path))
    assert untimed(tmp_path) == untimed(uncut)
    weights = [load_weights(path / "model.safetensors") for path in (uncut, tmp_path)]
    assert_same_state(weights[0][1], weights[1][1])
    assert weights[0][0].iteration == weights[1][0].iteration


def test_a_training_cut_twice_continues_bit_for_bit(
    table: SampleTable, tmp_path: Path, uncut: Path
) -> None:
    config = recipe(checkpoint_every=1)
    cut(table, tmp_path, config, 4, validated=True)
    cut(table, tmp_path, config, 7, validated=True)  # a fresh method sees seven more
    train(table, tmp_path, config, validated=True)
    assert_same_state(state(uncut)["method"], state(tmp_path)["method"])
    assert untimed(tmp_path) == untimed(uncut)


def test_global_random_state_neither_matters_nor_moves(
    table: SampleTable, tmp_path: Path, uncut: Path
) -> None:
    torch.rand(11)
    before = torch.get_rng_state()
    train(table, tmp_path, recipe(), validated=True)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_state(state(uncut), state(tmp_path))


def test_draws_differ_between_iterations_and_seeds(table: SampleTable, tmp_path: Path) -> None:
    trained = []
    for seed in (0, 1):
        method = build(recipe(), table)
        train(table, tmp_path / str(seed), recipe(seed=seed), method=method)
        trained.append(method.classifier.weight)
    assert not torch.equal(*trained)

    class Draws(Tiny):
        drawn: list[float]

        def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
            self.drawn.append(float(torch.rand(())))
            return super().training_step(batch, update)

    method = Draws(TinyConfig(), num_ids=5, height=16, width=8)
    method.drawn = []
    train(table, tmp_path / "draws", recipe(), method=method)
    assert len(set(method.drawn)) == ITERATIONS


def test_a_factor_multiplies_the_rate_of_every_optimizer(
    table: SampleTable, tmp_path: Path
) -> None:
    class Twice(Tiny):
        def optimizers(self) -> Mapping[str, Scheduled]:
            plain = super().optimizers()
            for group in (g for s in plain.values() for g in s.optimizer.param_groups):
                group["lr"] *= 2
            return plain

    fast = Twice(TinyConfig(), num_ids=5, height=16, width=8)
    fast.load_state_dict(build(recipe(), table).state_dict())
    train(table, tmp_path / "fast", recipe(), method=fast)
    factored, _ = train(table, tmp_path / "factor", recipe(lr_factor=2.0))
    plain, _ = train(table, tmp_path / "plain", recipe())
    assert_same_state(dict(fast.state_dict()), dict(factored.state_dict()))
    for name, weight in factored.named_parameters():
        assert not torch.equal(weight, plain.get_parameter(name)), name


def test_a_finished_training_is_left_alone(table: SampleTable, tmp_path: Path, uncut: Path) -> None:
    method, first = train(table, tmp_path, recipe())
    content = (tmp_path / "log.jsonl").read_text(encoding="utf-8")
    again, second = train(table, tmp_path, recipe())
    assert (second.resumed_from, second.iterations) == (ITERATIONS, ITERATIONS)
    assert first.resumed_from == 0
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8") == content
    assert_same_state(dict(method.state_dict()), dict(again.state_dict()))
    with pytest.raises(ConfigError, match="has begun; resume it"):
        train(table, tmp_path, recipe(), resume=False)


def test_stages_run_in_order_with_their_progress(table: SampleTable, tmp_path: Path) -> None:
    method, _ = train(table, tmp_path, recipe())
    assert isinstance(method, Tiny)
    assert [progress.stage for progress in method.seen] == ["warm-up"] * 3 + ["joint"] * 12
    assert [progress.iteration for progress in method.seen] == [*range(3), *range(12)]
    assert {progress.iterations for progress in method.seen} == {3, 12}
    assert method.seen[-1].epoch == 11 / 4


def test_the_log_says_what_happened(uncut: Path) -> None:
    found = lines(uncut)
    training = [line for line in found if "losses" in line]
    assert [(line["stage"], line["iteration"]) for line in training] == [
        ("warm-up", 2),
        ("warm-up", 3),
        *(("joint", i) for i in range(2, 13, 2)),
    ]
    assert [set(line["lr"]) for line in training[:2]] == [{"main"}] * 2, "the critic rests"
    last = training[-1]
    assert last["epoch"] == 3.0
    assert last["losses"].keys() == {"id", "spread", "fool", "critic"}
    # The mean of the two iterations since the line before; the loop itself multiplies.
    ramp = 0.01 * (1 + 10.5 / 12)
    assert last["weights"] == pytest.approx({"id": 1, "spread": ramp, "fool": -0.1, "critic": 1})
    plain, counted = last["losses"], last["weighted"]
    assert counted["fool"] == pytest.approx(-0.1 * plain["fool"])
    assert counted["critic"] == pytest.approx(plain["critic"])
    assert 0.01 < counted["spread"] / plain["spread"] < 0.02
    assert "fool" not in training[0]["weights"], "no update of the warm-up has it"
    assert last["lr"] == {"main": pytest.approx(0.05 * (1 - 0.5 * 11 / 12)), "critic": 0.01}
    assert last["images_per_s"] > 0
    assert last["seconds"] > 0
    validations = [line for line in found if "validation" in line]
    assert [line["iteration"] for line in validations] == [4, 8, 12]
    assert validations[0]["validation"].keys() == {"mAP", "rank1"}
    assert validations[0]["best"] is True


def test_validation_chooses_the_weights_and_leaves_training_alone(
    table: SampleTable, tmp_path: Path
) -> None:
    config = recipe()
    scores = iter([0.2, 0.9, 0.4])
    kept: list[Tensor] = []

    def validate(method: Method) -> dict[str, float]:
        assert not method.training
        assert torch.is_inference_mode_enabled()
        torch.rand(5)
        kept.append(method.get_parameter("classifier.weight").detach().clone())
        return {"mAP": next(scores)}

    plain, _ = train(table, tmp_path / "plain", config)
    method = build(config, table)
    run = open_run(tmp_path / "run", config, table)
    summary = fit(table, config, run, method=method, validate=validate, progress=False)
    assert (summary.best_score, summary.select) == (0.9, "mAP")
    card, tensors = load_weights(run.model_path)
    assert (card.score, card.select, card.stage, card.iteration) == (0.9, "mAP", "joint", 8)
    assert torch.equal(tensors["classifier.weight"], kept[1])
    assert_same_state(dict(plain.state_dict()), dict(method.state_dict()))
    assert method.training


def test_without_validation_the_last_weights_are_kept(table: SampleTable, tmp_path: Path) -> None:
    method, summary = train(table, tmp_path, recipe())
    card, _ = load_weights(summary.model)
    assert (summary.select, card.select, card.num_ids, card.height) == (None, None, 5, 16)
    loaded = RunFolder.open(tmp_path).load_method()
    assert not loaded.training
    assert_same_state(dict(loaded.state_dict()), dict(method.state_dict()))


def test_an_unknown_figure_to_select_by_is_one_sentence(table: SampleTable, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gives no 'mINP' to choose weights by; it gives mAP"):
        train(table, tmp_path, recipe(), validated=True, select="mINP")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_lost_loss_is_named_and_the_checkpoint_stays(
    table: SampleTable, tmp_path: Path, value: float
) -> None:
    class Broken(Tiny):
        def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
            losses = super().training_step(batch, update)
            if update.progress.stage == "joint" and update.progress.iteration == 7:
                before = [p.clone() for p in self.parameters()]
                try:
                    update("main", {"id": losses["id"].detach(), "triplet": torch.tensor(value)})
                finally:
                    assert all(map(torch.equal, before, self.parameters()))
            return losses

    method = Broken(TinyConfig(), num_ids=5, height=16, width=8)
    expected = (
        rf"loss 'triplet' became {value} at iteration 8 of stage joint; lower the learning "
        r"rate.*The last checkpoint is .*last\.pt \(iteration 5 of stage joint\)"
    )
    with pytest.raises(TrainingError, match=expected):
        train(table, tmp_path, recipe(), method=method)
    assert state(tmp_path)["position"]["iteration"] == 5
    assert all(torch.isfinite(tensor).all() for tensor in state(tmp_path)["method"].values())


class Idle(Tiny):
    """Never moves in its first stage before some iteration, from 0."""

    moves_from = 0

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        if update.progress.stage == "warm-up" and update.progress.iteration < self.moves_from:
            return {}
        return super().training_step(batch, update)


class Astray(Tiny):
    """Updates an optimizer with losses that lead to none of its weights."""

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        loss = self._features(batch.images).square().mean()
        update("critic", {"loss": loss})
        return {"loss": loss}


@pytest.mark.parametrize(("length", "until"), [(3, 3), (130, 100)])
def test_a_stage_that_moves_nothing_is_refused(
    table: SampleTable, tmp_path: Path, length: int, until: int
) -> None:
    config = recipe(config=TinyConfig(warm_up=length, epochs=1))
    place: Any = {"num_ids": 5, "height": 16, "width": 8}
    said = f"moved no optimizer until iteration {until} of stage warm-up; call its `update`"
    for method in (Idle(config.config, **place), Astray(config.config, **place)):
        method.moves_from = length
        with pytest.raises(TrainingError, match=f"{type(method).__name__}.training_step {said}"):
            train(table, tmp_path / type(method).__name__, config, method=method)


def test_iterations_may_do_without_an_update(table: SampleTable, tmp_path: Path) -> None:
    config = recipe(config=TinyConfig(warm_up=3, epochs=1))
    method = Idle(config.config, num_ids=5, height=16, width=8)
    method.moves_from = 2
    assert train(table, tmp_path / "run", config, method=method)[1].iterations == 3 + 4


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "returned no loss, expected losses by their names"),
        (torch.ones(()), "returned Tensor, expected losses by their names"),
        ({"accuracy": 0.5}, "returned 'accuracy' as float, expected a scalar tensor"),
        ({"accuracy": torch.ones(2)}, r"returned 'accuracy' of shape \(2,\), expected a scalar"),
    ],
)
def test_what_a_step_returns_is_looked_at(
    table: SampleTable, tmp_path: Path, returned: Any, said: str
) -> None:
    class Other(Tiny):
        def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
            super().training_step(batch, update)
            return returned

    method = Other(TinyConfig(), num_ids=5, height=16, width=8)
    with pytest.raises(TrainingError, match=rf"Other\.training_step {said}"):
        train(table, tmp_path / "run", recipe(), method=method)


@pytest.mark.parametrize(
    ("answer", "given", "said"),
    [
        ("stages", Stage(name="a", epochs=1), r"stages\(\) gives Stage\(.*expected a tuple of Sta"),
        ("stages", (), r"stages\(\) leaves nothing to train"),
        ("stages", (Stage(name="a", epochs=1),) * 2, r"names a, a; give each a name of its own"),
        ("optimizers", None, r"optimizers\(\) gives NoneType, expected names and Scheduled"),
        ("optimizers", {"main": nn.Linear(1, 1)}, r"gives \{'main': 'Linear'\}, expected names"),
    ],
)
def test_stages_and_optimizers_are_looked_at(
    table: SampleTable, tmp_path: Path, answer: str, given: Any, said: str
) -> None:
    method = type("Other", (Tiny,), {answer: lambda _: given})(
        TinyConfig(), num_ids=5, height=16, width=8
    )
    with pytest.raises(ConfigError, match=said):
        train(table, tmp_path / "run", recipe(), method=method)


def test_weights_without_value_are_not_saved(table: SampleTable, tmp_path: Path) -> None:
    class Broken(Tiny):
        def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
            losses = super().training_step(batch, update)
            if update.progress.iteration == 4:
                with torch.no_grad():
                    self.critics[0].weight.fill_(math.nan)
            return losses

    method = Broken(TinyConfig(), num_ids=5, height=16, width=8)
    with pytest.raises(TrainingError, match="weights have no value any more at iteration 5"):
        train(table, tmp_path, recipe(), method=method)
    assert state(tmp_path)["position"]["iteration"] == 3


def test_a_damaged_image_stops_the_training_with_its_sentence(tmp_path: Path) -> None:
    table = draw_people(tmp_path / "people")
    table.paths[8].write_bytes(b"nothing")
    with pytest.raises(DataError, match=table.paths[8].name):
        train(table, tmp_path / "run", recipe(workers=2, config=TinyConfig(epochs=30)))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_arithmetic_and_memory_formats_train_alike(
    table: SampleTable, tmp_path: Path, precision: str, channels_last: bool
) -> None:
    config = recipe(
        precision=precision,
        channels_last=channels_last,
        clip_norm=1.0,
        config=TinyConfig(dropout=0),
    )
    train(table, tmp_path / "plain", recipe(clip_norm=1.0, config=TinyConfig(dropout=0)))
    method, _ = train(table, tmp_path / "run", config)
    assert {p.dtype for p in method.parameters()} == {torch.float32}
    expected, found = (lines(tmp_path / name)[-1]["losses"]["id"] for name in ("plain", "run"))
    assert found == pytest.approx(expected, abs=0.02)
    weight = method.get_parameter("backbone.4.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last) is channels_last


def test_bf16_resumes_bit_for_bit(table: SampleTable, tmp_path: Path) -> None:
    config = recipe(precision="bf16-mixed")
    train(table, tmp_path / "uncut", config)
    cut(table, tmp_path / "cut", config, 10)
    train(table, tmp_path / "cut", config)
    assert_same_state(state(tmp_path / "uncut"), state(tmp_path / "cut"))


def test_a_forward_pass_after_an_update_in_bf16_sees_the_new_weights(
    table: SampleTable, tmp_path: Path
) -> None:
    class Twice(Tiny):
        compared = 0

        def training_step(self, _: Batch, update: Update) -> Mapping[str, Tensor]:
            ones = torch.ones(2, self.config.width)
            before = self.classifier(ones)
            update("main", {"id": before.sum()})
            after = self.classifier(ones)
            assert after.dtype == torch.bfloat16
            with torch.autocast("cpu", enabled=False):
                exact = self.classifier(ones)
            assert torch.allclose(after.float(), exact, rtol=0.02, atol=0.02)
            assert (before - after).abs().min() > 0.2
            self.compared += 1
            return {"id": after.sum()}

    config = recipe(precision="bf16-mixed", config=TinyConfig(epochs=1))
    method = Twice(config.config, num_ids=5, height=16, width=8)
    train(table, tmp_path, config, method=method)
    assert method.compared == 7


def test_16_bit_arithmetic_needs_a_gpu(table: SampleTable, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="16-mixed, which cpu cannot do; set it to bf16-mixed"):
        train(table, tmp_path, recipe(precision="16-mixed"), machines=Machines(accelerator="cpu"))


def test_a_missing_device_is_one_sentence(table: SampleTable, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1 x tpu is not possible here"):
        train(table, tmp_path, recipe(), machines=Machines(accelerator="tpu"))  # type: ignore[arg-type]


def test_progress_is_told_in_plain_lines_off_a_terminal(
    table: SampleTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = open_run(tmp_path, recipe(), table)
    fit(table, recipe(), run, validate=mean_feature(table, recipe()), progress=True)
    told = capsys.readouterr()
    assert not told.out
    assert "tiny on 1 x cpu: 30 images, 5 people, 4 iterations per epoch" in told.err
    assert "validation mAP" in told.err
    assert "15/15" in told.err
