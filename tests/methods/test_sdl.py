from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import RecordedUpdate, RoutedUpdate, at
from tests.oracles import sdl as oracle
from torch import Tensor

from crosslight.config import build, load_recipe
from crosslight.data.batch import Batch
from crosslight.data.transforms import TrainingTransform
from crosslight.errors import ConfigError
from crosslight.experiments.ablation import switched
from crosslight.methods.sdl import SDL, SDLConfig, SDLReleased, SDLReleasedConfig
from crosslight.methods.sdl.equations import loss_disentangle, loss_dispel
from crosslight.methods.sdl.networks import Branches
from crosslight.nn.weights import initial_weights_left_out
from crosslight.types import Modality

SMALL: dict[str, Any] = {"backbone": "resnet10-quarter", "weights": "none", "dim": 16}
LOSSES = {
    "loss_id_x",
    "loss_id_u",
    "loss_disentangle_visible",
    "loss_disentangle_infrared",
    "loss_dispel_visible",
    "loss_dispel_infrared",
}
UNIFORM = 1 / 5


def _small(cls: type[SDL] = SDL, *, num_ids: int = 4, **options: Any) -> SDL:
    config = build(cls.Config, {**SMALL, **options}, where="test")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return cls(config, num_ids=num_ids, height=64, width=32)


def _routes(method: SDL, batch: Batch) -> dict[str, set[str]]:
    """Of each loss, the branches and streams whose linear layers it moves."""
    update = RoutedUpdate(method)
    method.training_step(batch, update)
    names = {
        "backbone.networks.0": "visible stream",
        "backbone.networks.1": "infrared stream",
        "branches.x.linear": "F_x",
        "branches.x.classifier": "C_x",
        "branches.u.linear": "F_u",
        "branches.u.classifier": "C_1",
        "branches.v.networks.0": "F_v visible",
        "branches.v.networks.1": "F_v infrared",
    }
    return {
        loss: {
            name for start, name in names.items() if any(w.startswith(f"{start}.") for w in reached)
        }
        for loss, reached in update.reached.items()
    }


# --- each formula against the slow one ---


def _x_u_v() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    x, u, v = torch.randn(3, 6, 5, dtype=torch.float64, generator=generator)
    return x, u, v


FORMULAS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "squared": (
        lambda x, u, v: loss_disentangle(x, u, v, "squared"),
        oracle.squared_disentangle,
    ),
    "released": (
        lambda x, u, v: loss_disentangle(x, u, v, "released"),
        oracle.released_disentangle,
    ),
    "uniform": (
        lambda x, u, v: loss_dispel(x + u * v, "uniform"),
        lambda x, u, v: oracle.uniform_dispeller(x + u * v),
    ),
    "logits": (
        lambda x, u, v: loss_dispel(x + u * v, "logits"),
        lambda x, u, v: oracle.logits_dispeller(x + u * v, share=UNIFORM),
    ),
}


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_value_and_gradient_agree_with_the_slow_formula(
    formula: tuple[Callable[..., Tensor], Callable[..., Tensor]],
) -> None:
    found = []
    for loss in formula:
        leaves = [part.clone().requires_grad_() for part in _x_u_v()]
        value = loss(*leaves)
        found.append((value.detach(), *torch.autograd.grad(value, leaves)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)
    assert all(slope.abs().max() > 1e-3 for slope in found[0][1:])


def test_equal_logits_are_ln_k_and_pull_nowhere() -> None:
    logits = torch.full((3, 395), 2.5, dtype=torch.float64, requires_grad=True)
    loss = loss_dispel(logits, "uniform")
    assert loss.item() == pytest.approx(math.log(395), abs=1e-12)
    assert torch.autograd.grad(loss, logits)[0].abs().max() < 1e-15


def test_where_x_is_the_sum_already_the_gradient_is_finite() -> None:
    """Unit vectors 120 degrees apart add up to a unit vector."""
    x = torch.tensor([[1.0, 0.0]])
    u = torch.tensor([[0.5, math.sqrt(3) / 2]], requires_grad=True)
    v = torch.tensor([[0.5, -math.sqrt(3) / 2]])
    for form in ("squared", "released"):
        loss = loss_disentangle(x, u, v, form)
        assert loss.item() < 1e-5
        assert torch.isfinite(torch.autograd.grad(loss, u)[0]).all()


# --- whole iterations ---

WHOLE: dict[str, dict[str, Any]] = {
    "defaults of sdl": {},
    "figure": {"branching": "figure", "pooling": "max", "dispeller_moves_classifier": True},
    "everything as in the code": {
        "distil": "all",
        "disentangle": "released",
        "disentangle_weight": 0.03,
        "dispeller": "logits",
        "dispeller_moves_classifier": True,
    },
    "all rows, frozen classifier": {"distil": "all", "dispeller": "logits"},
}


@pytest.mark.parametrize("options", WHOLE.values(), ids=WHOLE)
def test_iterations_agree_with_the_paper(options: dict[str, Any], make_batch: MakeBatch) -> None:
    plain: dict[str, Any] = {
        "dropout": 0.3,
        "identity_weight": 0.7,
        "disentangle_weight": 0.6,
        "dispeller_weight": 0.45,
        "branches_lr_factor": 0.55,
        "lr": 0.05,
        "backbone_lr_factor": 0.3,
        "weight_decay": 7e-4,
        "momentum": 0.8,
        "step_epochs": (2, 4),
    }
    method = scrambled(_small(**{**plain, **options}))
    places = [at(method, iteration=i, iterations_per_epoch=5) for i in (9, 10, 21)]
    slow = oracle.PlainSDL(method.state_dict(), method.config)
    assert_iterations_agree(method, slow, mirrored(make_batch(), 3), places=places)


def test_the_released_dispeller_never_acted(make_batch: MakeBatch) -> None:
    """1 / people in whole numbers is 0: training as released is training without a dispeller."""
    logits = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    as_it_ran = oracle.logits_dispeller(logits, share=1 // 5)
    assert as_it_ran.item() == 0
    assert torch.autograd.grad(as_it_ran, logits)[0].abs().max() == 0

    method = scrambled(_small(SDLReleased, dropout=0.3))
    slow = oracle.PlainSDL(method.state_dict(), method.config, as_it_ran=True)
    # The rate never falls.
    places = [at(method, iteration=i, iterations_per_epoch=1) for i in (0, 300)]
    assert_iterations_agree(method, slow, mirrored(make_batch(), 2), places=places)


# --- what each loss trains ---

STREAMS = {"visible stream", "infrared stream"}


def test_routes_of_the_defaults(make_batch: MakeBatch) -> None:
    """A dispeller trains its own light; x and u are normalised over both lights."""
    assert _routes(_small(), make_batch()) == {
        "loss_id_x": {*STREAMS, "F_x", "C_x"},
        "loss_id_u": {*STREAMS, "F_u", "C_1"},
        "loss_disentangle_visible": {*STREAMS, "F_x", "F_u", "F_v visible"},
        "loss_disentangle_infrared": {*STREAMS, "F_x", "F_u", "F_v infrared"},
        "loss_dispel_visible": {"visible stream", "F_v visible"},
        "loss_dispel_infrared": {"infrared stream", "F_v infrared"},
    }


def test_routes_of_the_released_code(make_batch: MakeBatch) -> None:
    """Both v see all rows, and the dispeller pulls the classifier to equal shares as well."""
    method = _small(SDLReleased, dispeller="logits")
    assert _routes(method, make_batch()) == {
        "loss_id_x": {*STREAMS, "F_x", "C_x"},
        "loss_id_u": {*STREAMS, "F_u", "C_1"},
        "loss_disentangle_visible": {*STREAMS, "F_x", "F_u", "F_v visible"},
        "loss_disentangle_infrared": {*STREAMS, "F_x", "F_u", "F_v infrared"},
        "loss_dispel_visible": {*STREAMS, "F_v visible", "C_1"},
        "loss_dispel_infrared": {*STREAMS, "F_v infrared", "C_1"},
    }
    assert set(_routes(_small(SDLReleased), make_batch())) == {
        name for name in LOSSES if "dispel" not in name
    }


@pytest.mark.parametrize("branching", ["pooled", "figure"])
def test_swapping_the_lights_of_a_batch_swaps_what_v_is_asked(
    branching: str, make_batch: MakeBatch
) -> None:
    method, batch = scrambled(_small(branching=branching)), make_batch()
    batch = dataclasses.replace(batch, images=batch.images.double())
    with torch.no_grad():
        parts = [method.backbone, method.branches.v]
        for part in [*parts, method.branches.first] if method.branches.first else parts:
            part.networks[1].load_state_dict(part.networks[0].state_dict())  # type: ignore[union-attr, operator]
    found = []
    for modality in (batch.modality, 1 - batch.modality):
        update = RoutedUpdate(method)
        method.training_step(dataclasses.replace(batch, modality=modality), update)
        found.append(update.losses)
    for loss in ("disentangle", "dispel"):
        visible, infrared = f"loss_{loss}_visible", f"loss_{loss}_infrared"
        assert found[0][visible] == pytest.approx(found[1][infrared], rel=1e-9)
        assert found[0][infrared] == pytest.approx(found[1][visible], rel=1e-9)
        assert found[0][visible] != pytest.approx(found[0][infrared], rel=1e-6)


def test_a_batch_of_one_light_leaves_the_other_alone(make_batch: MakeBatch) -> None:
    batch = make_batch()
    rows = batch.modality == 1
    single = Batch(
        images=batch.images[rows],
        labels=batch.labels[rows],
        cams=batch.cams[rows],
        modality=batch.modality[rows],
        rows=batch.rows[rows],
    )
    method = _small()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    update = RecordedUpdate(method)
    method.training_step(single, update)
    assert set(update.losses) == {name for name in LOSSES if "visible" not in name}
    others = ("branches.v.networks.0", "backbone.networks.0")
    assert not [name for name in update.gradients if name.startswith(others)]
    for name, value in method.state_dict().items():
        if name.startswith(others):
            assert torch.equal(value, before[name]), name


# --- network, start and what it gives ---


def _published(cls: type[SDL] = SDL, **options: Any) -> SDL:
    with torch.device("meta"), initial_weights_left_out():
        return cls(cls.Config(**options), num_ids=395, height=288, width=144)


def _size(method: SDL, part: str) -> int:
    return sum(p.numel() for p in method.get_submodule(part).parameters())


def test_published_network() -> None:
    method = _published()
    layer, classifier = 2048 * 512 + 3 * 512, 512 * 395 + 395
    sizes = {
        "backbone.networks.0": 23_508_032,
        "backbone.networks.1": 23_508_032,
        "branches.x": layer + classifier,
        "branches.u": layer + classifier,
        "branches.v": 2 * layer,
    }
    assert {part: _size(method, part) for part in sizes} == sizes
    # The release holds two unused classifiers of ImageNet besides: 55.7 million.
    unused = 2 * (2048 * 1000 + 1000)
    assert sum(p.numel() for p in method.parameters()) + unused == 55_719_782
    maps = method.backbone.networks[0](torch.empty(1, 3, 288, 144, device="meta"))  # type: ignore[union-attr, index, operator]
    assert maps.shape == (1, 2048, 9, 5)


def test_figure_has_a_layer_for_each_light_before_the_branches() -> None:
    method = _published(branching="figure", pooling="max")
    first, second = 2048 * 512 + 3 * 512, 512 * 512 + 3 * 512
    assert _size(method, "branches.first") == 2 * first
    assert _size(method, "branches.v") == 2 * second
    assert _size(method, "branches.x.linear") == 512 * 512 + 512
    assert _size(method, "branches.x.norm") == 0


def test_presets_are_the_sheets_columns() -> None:
    config = SDLReleasedConfig()
    changed = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != getattr(SDLConfig(), field.name)
    }
    assert changed == {
        "distil": "all",
        "disentangle": "released",
        "disentangle_weight": 1e-4,
        "dispeller": "none",
        "dispeller_moves_classifier": True,
        "branches_lr_factor": 0.1,
        "epochs": 301,
        "step_epochs": (),
    }
    groups = _published(SDLReleased).optimizers()["model"].optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.001, 0.01, 0.001])
    assert all(group["nesterov"] and group["weight_decay"] == 5e-4 for group in groups)


def test_start_of_the_layers() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        branches = Branches(2048, 512, 395, dropout=0.0, branching="pooled")
    for layer in (branches.x, branches.u, *branches.v.networks):
        assert layer.linear.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.01)  # type: ignore[union-attr]
        assert not layer.linear.bias.any()  # type: ignore[union-attr]
        assert layer.norm.weight.mean().item() == pytest.approx(1, abs=2e-3)  # type: ignore[union-attr]
        assert layer.norm.weight.std().item() == pytest.approx(0.01, rel=0.15)  # type: ignore[union-attr]
        assert not layer.norm.bias.any()  # type: ignore[union-attr]
    for head in (branches.x, branches.u):
        assert head.classifier.weight.std().item() == pytest.approx(0.001, rel=0.01)
        assert not head.classifier.bias.any()


def _start(rows: int) -> dict[str, float]:
    """Of the layers at the published size, on vectors that have nothing in common."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        branches = Branches(2048, 512, 395, dropout=0.0, branching="pooled")
    vectors = torch.rand(rows, 2048, generator=torch.Generator().manual_seed(1))
    x, u = branches.x.embed(vectors), branches.u.embed(vectors)
    labels = torch.arange(rows) % 395
    found = {}
    for name, head, values in (("x", branches.x, x), ("u", branches.u, u)):
        logits = head.classify(values)
        found[name] = torch.nn.functional.cross_entropy(logits, labels).item()
    v = branches.v.networks[0](vectors)
    found["disentangle"] = 1e-4 * loss_disentangle(x, u, v, "released").item()
    found["dispel"] = loss_dispel(branches.u.classify(v), "logits").item()
    return found


def test_start_values_at_the_published_size() -> None:
    found = _start(64)
    assert found["x"] == pytest.approx(math.log(395), abs=0.03)
    assert found["u"] == pytest.approx(math.log(395), abs=0.03)
    expected = oracle.start_of_released_disentangle(64)
    assert expected == pytest.approx(1.386e-3, abs=1e-6)
    assert found["disentangle"] == pytest.approx(expected, rel=0.02)
    # Negligible beside an identity loss of 6, in fractions too; it grows with the root of N.
    assert found["dispel"] == pytest.approx(0.0067, abs=0.0005)
    assert _start(8)["dispel"] == pytest.approx(0.0023, abs=0.0002)


def test_codes_have_length_one_and_the_embedding_is_one_of_them(make_batch: MakeBatch) -> None:
    batch = make_batch()
    found = {}
    for match_on in ("embedding", "identity", "sum", "translated"):
        method = _small(match_on=match_on).eval()
        with torch.no_grad():
            found[match_on] = method.embed(batch.images, batch.modality)
            codes = method.codes(batch.images, batch.modality)
    assert set(codes) == {"embedding", "identity", "spectrum"}
    for code in codes.values():
        torch.testing.assert_close(code.norm(dim=1), torch.ones(len(batch)))
    x, u, v = codes.values()
    torch.testing.assert_close(found["embedding"], x)
    torch.testing.assert_close(found["identity"], u)
    torch.testing.assert_close(found["sum"], u + v)
    visible, infrared = batch.modality == 0, batch.modality == 1
    torch.testing.assert_close(found["translated"][visible], (u + v)[visible])
    with torch.no_grad():
        vectors = method._vectors(batch.images, batch.modality)
        other = torch.nn.functional.normalize(method.branches.v.networks[0](vectors))
    torch.testing.assert_close(found["translated"][infrared], (u + other)[infrared])
    assert not torch.allclose(found["translated"][infrared], (u + v)[infrared], atol=1e-2)


@pytest.mark.parametrize("name", SDL.switches)
def test_every_switch_trains_every_loss_it_has(name: str, make_batch: MakeBatch) -> None:
    changes = {
        key.partition(".")[2]: value
        for key, value in SDL.switches[name].items()
        if key.startswith("config.")
    }
    for cls in (SDL, SDLReleased):
        method = _small(cls, **changes)
        update = RoutedUpdate(method)
        figures = method.training_step(make_batch(), update)
        assert all(torch.isfinite(value) for value in figures.values())
        assert update.reached
        assert all(update.reached.values()), "a loss without gradient"
        if name == "x-alone":
            assert set(update.reached) == {"loss_id_x"}


@pytest.mark.parametrize("name", SDL.switches)
def test_every_switch_changes_one_of_the_two_recipes(name: str) -> None:
    changed = []
    for recipe in ("sdl-sysu-mm01", "sdl-released-sysu-mm01"):
        (variant,) = switched(recipe, [name], cumulative=False)
        before, after = load_recipe(recipe), load_recipe(recipe, variant.overrides)
        changed.append(before != after)
    assert any(changed)


def test_square_erasing_is_a_black_square_of_20_pixels() -> None:
    (variant,) = switched("sdl-sysu-mm01", ["square-erasing"], cumulative=False)
    data = load_recipe("sdl-sysu-mm01", variant.overrides).data
    still = dataclasses.replace(data.augmentation, flip=0.0, pad_px=0)
    transform = TrainingTransform(dataclasses.replace(data, augmentation=still))
    white = Image.new("RGB", (data.width, data.height), "white")
    for light in Modality:
        (view,) = transform(white, light, np.random.default_rng(0))
        black = (view < 1).all(dim=0)
        assert black.sum() == 400
        rows, columns = (black.any(dim=d).nonzero()[:, 0] for d in (1, 0))
        assert (len(rows), len(columns)) == (20, 20)
        assert view.min() >= 0
        assert view[:, black].max() < 5e-4


def test_streams_may_be_apart_in_their_first_layers_alone(make_batch: MakeBatch) -> None:
    method, batch = _small(streams="stem"), make_batch()
    whole = _small()
    assert _size(method, "backbone") < 0.6 * _size(whole, "backbone")
    assert method.eval().embed(batch.images, batch.modality).shape == (len(batch), 16)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"match_on": "sum", "disentangle_weight": 0.0}, "config.match_on to identity"),
        (
            {"identity_weight": 0.0, "disentangle_weight": 0.0},
            "config.match_on to embedding",
        ),
    ],
)
def test_what_is_matched_must_be_trained(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _small(**options)
    _small(**{**options, "match_on": said.rpartition(" ")[2]})


@pytest.mark.parametrize("options", [{}, {"distil": "all", "branching": "figure"}])
def test_a_single_image_of_a_light_is_named(options: dict[str, Any], make_batch: MakeBatch) -> None:
    method, batch = _small(**options), make_batch()
    alone = Batch(
        images=batch.images[7:],
        labels=batch.labels[7:],
        cams=batch.cams[7:],
        modality=batch.modality[7:],
        rows=batch.rows[7:],
    )
    with pytest.raises(ConfigError, match="a single visible image"):
        method.training_step(alone, RoutedUpdate(method))
    everybody = _small(distil="all")
    everybody.training_step(alone, RoutedUpdate(everybody))


def test_published_settings_are_kept() -> None:
    for name, epochs, batches in (
        ("sdl-sysu-mm01", 61, 695),
        ("sdl-regdb", 61, 64),
        ("sdl-released-sysu-mm01", 301, 695),
        ("sdl-released-regdb", 301, 64),
    ):
        run = load_recipe(name)
        assert (run.data.height, run.data.width, run.data.interpolation) == (288, 144, "lanczos")
        batch = (run.data.ids_per_batch, run.data.visible_per_id, run.data.infrared_per_id)
        assert batch == (32, 1, 1)
        assert run.data.iterations_per_epoch == batches
        assert (run.config.epochs, run.config.lr, run.config.backbone_lr_factor) == (
            epochs,
            0.01,
            0.1,
        )
        assert run.data.augmentation.erasing == 0
    assert load_recipe("sdl-sysu-mm01").data.train_splits == ("train", "val")


def test_the_figures_trunk_drops_nothing_outside_training(make_batch: MakeBatch) -> None:
    method, batch = (
        _small(branching="figure", dropout=0.5, match_on="embedding").eval(),
        make_batch(),
    )
    with torch.no_grad():
        first, again = (method.embed(batch.images, batch.modality) for _ in range(2))
    assert torch.equal(first, again)
