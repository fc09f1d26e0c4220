"""The suite that every registered method passes."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.devices import DEVICE, exact_convolutions
from tests.methods.conftest import MakeBatch
from tests.methods.updates import RecordedUpdate, RoutedUpdate, at
from torch import Tensor, nn

from crosslight.config import build, to_plain
from crosslight.data.batch import Batch
from crosslight.methods.contract import (
    Disentangles,
    ExchangesParts,
    MapsStructure,
    Method,
    Progress,
    Swaps,
    Translates,
)
from crosslight.ranges import Dropout, Few, Width
from crosslight.registry import method_class, method_names

HEIGHT, WIDTH, NUM_IDS = 64, 32, 6
ITERATIONS = 1000
NARROW = re.compile(r"adain\.|styles\.|encoders?\.|^decoder\.|^classifier\.")
"""Linear layers that draw or take embeddings apart: 16 bits are enough for them."""
WITHOUT_LAYERS = {"samples"}
"""Numbers of a few that no layer shows."""
OFFERED: dict[type[Any], Callable[[Any, Batch], Any]] = {
    Swaps: lambda method, batch: method.swap(batch.images[:1], batch.images[-1:]),
    ExchangesParts: lambda method, batch: method.exchange(
        batch.images[:1], batch.images[-1:], method.parts[:1]
    ),
    MapsStructure: lambda method, batch: method.structure_maps(batch.images[:1]),
    Translates: lambda method, batch: method.translate(batch.images[:1], 0, 1),
    Disentangles: lambda method, batch: method.codes(batch.images[-1:], batch.modality[-1:]),
}
"""What a method may offer, and how it is asked."""
BUILDERS = {method_class(name).__init__: name for name in method_names()}
"""One method of those that are built alike."""


def _small(name: str, **overrides: Any) -> Method:
    cls = method_class(name)
    config = build(cls.Config, {**cls.small, **overrides}, where="test")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method: Method = cls(config, num_ids=NUM_IDS, height=HEIGHT, width=WIDTH)
    return method.to(DEVICE)


@pytest.fixture(scope="module", autouse=True)
def repeatable() -> Iterator[None]:
    with exact_convolutions():
        yield


@pytest.fixture(scope="module")
def make_batch(make_batch: MakeBatch) -> MakeBatch:
    return lambda **options: make_batch(**options).to(DEVICE)


@pytest.fixture(scope="module", params=method_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def method(name: str) -> Iterator[Method]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield _small(name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """A method after some iterations of each stage.

    Attributes:
        sums: Stage → the weighted losses' sum in each of its iterations.
        losses: Stage → the plain losses of its last update.
        figures: Stage → what its last iteration told.
    """

    method: Method
    sums: dict[str, list[float]]
    losses: dict[str, dict[str, float]]
    figures: dict[str, Mapping[str, Tensor]]


def _train(method: Method, batch: Batch, first: int, later: int) -> Trained:
    """Trains the first stage, and each later one, for so many iterations."""
    method.train()
    trained = Trained(method=method, sums={}, losses={}, figures={})
    for number, stage in enumerate(method.stages()):
        update = RecordedUpdate(method)
        sums = trained.sums.setdefault(stage.name, [])
        for iteration in range(later if number else first):
            update.progress = _at(method, stage.name, iteration)
            trained.figures[stage.name] = method.training_step(batch, update)
            sums.append(sum(update.weighted.values()))
        trained.losses[stage.name] = update.losses
    return trained


@pytest.fixture(scope="module")
def training(name: str, make_batch: MakeBatch) -> Trained:
    """One training for all tests that ask for one; its method is not to be changed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _train(_small(name), make_batch(), 15, 2)


@pytest.fixture
def trained(training: Trained) -> Iterator[Method]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield copy.deepcopy(training.method)


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
    trained: Method, make_batch: MakeBatch
) -> None:
    batch = make_batch()
    trained.eval()
    with torch.no_grad():
        together = trained.embed(batch.images, batch.modality)
        assert torch.equal(together, trained.embed(batch.images, batch.modality))
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
        shuffled = trained.embed(batch.images[order], batch.modality[order])
        torch.testing.assert_close(shuffled, together[order], rtol=1e-3, atol=1e-4)
        for i in (0, len(batch) - 1):
            alone = trained.embed(batch.images[i : i + 1], batch.modality[i : i + 1])
            torch.testing.assert_close(alone[0], together[i], rtol=1e-3, atol=1e-4)


def test_loss_falls_on_one_batch(training: Trained) -> None:
    first, *later = training.sums.values()
    # Dropout makes single steps differ widely, the first one too.
    assert min(first[-5:]) < 0.7 * max(first[:3])
    assert all(math.isfinite(value) for sums in later for value in sums)


def test_gradient_reaches_every_trainable_parameter(trained: Method, make_batch: MakeBatch) -> None:
    """Zero-initialised layers hide what lies before them at first: not of a method in training.

    On the way nothing is made on the default device: all of it is where the images are.
    """
    batch = make_batch()
    parameters = {n: p for n, p in trained.named_parameters() if p.requires_grad}
    managed = {
        id(p)
        for scheduled in trained.optimizers().values()
        for group in scheduled.optimizer.param_groups
        for p in group["params"]
    }
    assert {id(p) for p in parameters.values()} == managed
    seen: set[str] = set()
    for stage in trained.stages():
        update = RoutedUpdate(trained)
        update.progress = _at(trained, stage.name)
        with torch.device("meta"):
            trained.training_step(batch, update)
        seen = seen.union(*update.reached.values())
    assert set(parameters) - seen == set()
    with torch.device("meta"), torch.no_grad():
        trained.eval().embed(batch.images, batch.modality)
        for protocol, ask in OFFERED.items():
            if isinstance(trained, protocol):
                ask(trained, batch)


def test_saved_weights_embed_alike(
    name: str, trained: Method, make_batch: MakeBatch, tmp_path: Path
) -> None:
    batch = make_batch()
    path = tmp_path / "model.safetensors"
    save_file({k: v.cpu().contiguous() for k, v in trained.state_dict().items()}, path)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        other = _small(name)
    other.load_state_dict(load_file(path), strict=True)
    trained.eval()
    other.eval()
    with torch.no_grad():
        expected = trained.embed(batch.images, batch.modality)
        assert torch.equal(other.embed(batch.images, batch.modality), expected)


def test_bfloat16_stays_finite_and_decides_in_float32(
    trained: Method, make_batch: MakeBatch
) -> None:
    """Heads, losses and embeddings are float32; every weight that is trained has a gradient."""
    batch = make_batch()
    update = RecordedUpdate(trained)
    narrow: set[str] = set()
    for place, layer in trained.named_modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(_notes_narrow(place, narrow))
    for stage in trained.stages():
        update.progress = _at(trained, stage.name)
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
            figures = trained.training_step(batch, update)
        assert all(torch.isfinite(v) for v in figures.values())
        assert all(v.dtype == torch.float32 for v in figures.values())
    assert all(torch.isfinite(p).all() for p in trained.parameters())
    parameters = {n for n, p in trained.named_parameters() if p.requires_grad}
    moved = {  # a single number's slope may be balanced exactly: here and there, half against half
        n for n, slope in update.gradients.items() if slope.any() or slope.numel() == 1
    }
    assert parameters == moved
    trained.eval()
    with torch.no_grad(), torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        embeddings = trained.embed(batch.images, batch.modality)
        codes = (
            trained.codes(batch.images, batch.modality) if isinstance(trained, Disentangles) else {}
        )
    assert all(code.dtype == torch.float32 for code in [embeddings, *codes.values()])
    assert torch.isfinite(embeddings).all()
    assert {place for place in narrow if not NARROW.search(place)} == set()


def _notes_narrow(place: str, narrow: set[str]) -> Callable[[nn.Module, Any, Tensor], None]:
    def note(_: nn.Module, __: Any, output: Tensor) -> None:
        if output.dtype != torch.float32:
            narrow.add(place)

    return note


def test_losses_are_scalars_that_are_logged_under_the_names_of_the_updates(
    training: Trained,
) -> None:
    for stage, losses in training.losses.items():
        figures = training.figures[stage]
        assert losses
        assert set(losses) <= set(figures)
        assert all(name.startswith("loss_") for name in losses)
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


@pytest.mark.parametrize("name", BUILDERS.values())
def test_networks_have_the_sizes_that_a_recipe_names(name: str) -> None:
    """Layers, blocks, scales and dropouts are those of the configuration, each by itself."""
    cls = method_class(name)
    hints = typing.get_type_hints(cls.Config, include_extras=True)
    sizes = {field for field, hint in hints.items() if _counts_layers(hint)}
    plain = build(cls.Config, cls.small, where="test")
    size = {"num_ids": NUM_IDS, "height": HEIGHT, "width": WIDTH}
    built = repr(cls(plain, **size))
    for field in sorted(sizes - WITHOUT_LAYERS):
        config = dataclasses.replace(plain, **{field: _another(getattr(plain, field))})
        assert repr(cls(config, **size)) != built, field


def _counts_layers(hint: Any) -> bool:
    inner = {hint, *typing.get_args(hint)} - {Ellipsis}
    return bool(inner & {Width, Few, Dropout})


def _another(size: Any) -> Any:
    if isinstance(size, tuple):
        return tuple(_another(part) for part in size)
    if isinstance(size, float):
        return 0.9 - size
    return {"half": 3, 1: 2, 2: 1, 3: 2, 4: 3}.get(size) or 2 * size


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
    first, *later = _train(method, batch, 2, 1).sums.values()
    assert all(0 < value < 1e3 for value in first)
    assert all(math.isfinite(value) for sums in later for value in sums)


def test_one_modality_alone_can_be_embedded(method: Method, make_batch: MakeBatch) -> None:
    batch = make_batch()
    method.eval()
    for modality in (0, 1):
        rows = batch.modality == modality
        with torch.no_grad():
            embeddings = method.embed(batch.images[rows], batch.modality[rows])
        assert len(embeddings) == int(rows.sum())
