"""The suite that every registered method passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.devices import DEVICE, exact_convolutions
from tests.methods.conftest import MakeBatch
from tests.methods.updates import RecordedUpdate, RoutedUpdate, at

from crosslight.config import build, to_plain
from crosslight.data.batch import Batch
from crosslight.methods.contract import Method, Progress
from crosslight.registry import method_class, method_names

HEIGHT, WIDTH, NUM_IDS = 64, 32, 6


ITERATIONS = 1000


def _small(name: str, **overrides: Any) -> Method:
    cls = method_class(name)
    config = build(cls.Config, {**cls.small, **overrides}, where="test")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method: Method = cls(config, num_ids=NUM_IDS, height=HEIGHT, width=WIDTH)
    return method.to(DEVICE)


@pytest.fixture(autouse=True)
def repeatable() -> Iterator[None]:
    with exact_convolutions():
        yield


@pytest.fixture(scope="module")
def make_batch(make_batch: MakeBatch) -> MakeBatch:
    return lambda **options: make_batch(**options).to(DEVICE)


@pytest.fixture(params=method_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def method(name: str) -> Iterator[Method]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield _small(name)


def _train(method: Method, batch: Batch, steps: int) -> list[float]:
    """Trains each stage; gives the losses' sums of the first."""
    method.train()
    sums = []
    for stage in method.stages():
        update = RecordedUpdate(method)
        for iteration in range(steps):
            update.progress = _at(method, stage.name, iteration)
            method.training_step(batch, update)
            if stage == method.stages()[0]:
                sums.append(sum(update.weighted.values()))
    return sums


def _at(method: Method, stage: str, iteration: int = ITERATIONS // 2) -> Progress:
    """Half through a stage, where whatever grows has grown."""
    length = {"iterations": ITERATIONS, "iterations_per_epoch": ITERATIONS}
    return at(method, stage=stage, iteration=iteration, **length)


def test_embedding_has_one_finite_row_per_image(method: Method, make_batch: MakeBatch) -> None:
    batch = make_batch()
    method.eval()
    with torch.no_grad():
        embeddings = method.embed(batch.images, batch.modality)
    assert embeddings.shape[0] == len(batch)
    assert embeddings.ndim == 2
    assert embeddings.dtype == torch.float32
    assert torch.isfinite(embeddings).all()
    assert embeddings.std(dim=0).max() > 0


def test_embedding_is_deterministic_and_independent_of_the_batch(
    method: Method, make_batch: MakeBatch
) -> None:
    batch = make_batch()
    _train(method, batch, 2)
    method.eval()
    with torch.no_grad():
        together = method.embed(batch.images, batch.modality)
        assert torch.equal(together, method.embed(batch.images, batch.modality))
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
        shuffled = method.embed(batch.images[order], batch.modality[order])
        torch.testing.assert_close(shuffled, together[order], rtol=1e-3, atol=1e-4)
        for i in (0, len(batch) - 1):
            alone = method.embed(batch.images[i : i + 1], batch.modality[i : i + 1])
            torch.testing.assert_close(alone[0], together[i], rtol=1e-3, atol=1e-4)


def test_loss_falls_on_one_batch(method: Method, make_batch: MakeBatch) -> None:
    sums = _train(method, make_batch(), 15)
    # Dropout makes single steps differ widely, the first one too.
    assert min(sums[-5:]) < 0.7 * max(sums[:3])


def test_gradient_reaches_every_trainable_parameter(method: Method, make_batch: MakeBatch) -> None:
    """Zero-initialised layers hide what lies before them at first, so a few steps go ahead."""
    batch = make_batch()
    _train(method, batch, 3)
    trained = {n: p for n, p in method.named_parameters() if p.requires_grad}
    managed = {
        id(p)
        for scheduled in method.optimizers().values()
        for group in scheduled.optimizer.param_groups
        for p in group["params"]
    }
    assert {id(p) for p in trained.values()} == managed
    seen: set[str] = set()
    for stage in method.stages():
        update = RoutedUpdate(method)
        update.progress = _at(method, stage.name)
        method.training_step(batch, update)
        seen = seen.union(*update.reached.values())
    assert set(trained) - seen == set()


def test_saved_weights_embed_alike(
    name: str, method: Method, make_batch: MakeBatch, tmp_path: Path
) -> None:
    batch = make_batch()
    _train(method, batch, 2)
    path = tmp_path / "model.safetensors"
    save_file({k: v.cpu().contiguous() for k, v in method.state_dict().items()}, path)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        other = _small(name)
    other.load_state_dict(load_file(path), strict=True)
    method.eval()
    other.eval()
    with torch.no_grad():
        expected = method.embed(batch.images, batch.modality)
        assert torch.equal(other.embed(batch.images, batch.modality), expected)


def test_bfloat16_stays_finite_and_its_losses_are_float32(
    method: Method, make_batch: MakeBatch
) -> None:
    batch = make_batch()
    stages = [stage.name for stage in method.stages()]
    update = RecordedUpdate(method)
    for stage in [stages[0], *stages, stages[-1]]:
        update.progress = _at(method, stage)
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
            figures = method.training_step(batch, update)
        assert all(torch.isfinite(v) for v in figures.values())
        assert all(v.dtype == torch.float32 for v in figures.values())
    assert all(torch.isfinite(p).all() for p in method.parameters())
    method.eval()
    with torch.no_grad(), torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        embeddings = method.embed(batch.images, batch.modality)
    assert embeddings.dtype == torch.float32
    assert torch.isfinite(embeddings).all()


def test_losses_are_scalars_that_are_logged_under_the_names_of_the_updates(
    method: Method, make_batch: MakeBatch
) -> None:
    for stage in method.stages():
        update = RecordedUpdate(method)
        update.progress = _at(method, stage.name)
        figures = method.training_step(make_batch(), update)
        assert update.losses
        assert set(update.losses) <= set(figures)
        assert all(name.startswith("loss_") for name in update.losses)
        assert all(value.ndim == 0 for value in figures.values())


def test_stages_and_optimizers_are_consistent(method: Method) -> None:
    stages = method.stages()
    assert stages
    assert len({stage.name for stage in stages}) == len(stages)
    for scheduled in method.optimizers().values():
        for stage in stages:
            for iteration in range(0, 500, 50):
                progress = Progress(
                    stage=stage.name, iteration=iteration, iterations=500, iterations_per_epoch=50
                )
                assert 0 <= scheduled.factor(progress) <= 1


def test_config_survives_the_round_trip_through_yaml(name: str) -> None:
    cls = method_class(name).Config
    for config in (cls(), build(cls, method_class(name).small, where="test")):
        assert build(cls, to_plain(config), where="test") == config
    assert all(f.kw_only for f in dataclasses.fields(cls))
    with pytest.raises(dataclasses.FrozenInstanceError):
        cls().epochs = 3


def test_visible_images_may_come_twice(method: Method, make_batch: MakeBatch) -> None:
    """CAJ's batches: visible plain, visible exchanged, infrared."""
    batch = make_batch(views=2)
    assert len(batch) == 24
    sums = _train(method, batch, 2)
    assert all(0 < value < 1e3 for value in sums)


def test_one_modality_alone_can_be_embedded(method: Method, make_batch: MakeBatch) -> None:
    batch = make_batch()
    method.eval()
    for modality in (0, 1):
        rows = batch.modality == modality
        with torch.no_grad():
            embeddings = method.embed(batch.images[rows], batch.modality[rows])
        assert len(embeddings) == int(rows.sum())
