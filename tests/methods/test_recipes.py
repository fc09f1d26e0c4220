"""Every shipped recipe is read strictly, builds its method and says what to expect."""

from __future__ import annotations

import pytest
import torch

from crosslight.config import RECIPES, load_recipe, recipe_names
from crosslight.nn.weights import initial_weights_left_out
from crosslight.registry import METHODS, method_class


@pytest.fixture(params=recipe_names())
def recipe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _header(recipe: str) -> list[str]:
    lines = (RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8").splitlines()
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]


def test_recipe_builds_its_method(recipe: str) -> None:
    config = load_recipe(recipe)
    with torch.device("meta"), initial_weights_left_out():
        method = method_class(config.method)(
            config.config, num_ids=10, height=config.data.height, width=config.data.width
        )
    assert method.stages()


def test_header_says_how_to_run_it_and_what_to_expect(recipe: str) -> None:
    header = _header(recipe)
    assert header[0].startswith("# ")
    assert header[0].endswith(".")
    text = "\n".join(header)
    command = "crosslight demo" if recipe == "demo" else f"crosslight train {recipe} --data"
    assert command in text
    assert "Expected:" in text
    assert "Expected time:" in text
    assert "Not run here" in text or "Measured" in text


def test_every_method_has_a_recipe() -> None:
    assert {load_recipe(name).method for name in recipe_names()} >= set(METHODS)


def test_published_settings_are_kept() -> None:
    """The ingredients that papers state; a change here is a change of the experiment."""
    agw, caj = load_recipe("agw-sysu-mm01"), load_recipe("caj-sysu-mm01")
    for run in (agw, caj):
        assert (run.data.height, run.data.width) == (288, 144)
        assert run.data.train_splits == ("train", "val")
        batch = (run.data.ids_per_batch, run.data.visible_per_id, run.data.infrared_per_id)
        assert batch == (8, 4, 4)
        assert (run.config.optimizer, run.config.lr) == ("sgd", 0.1)
        assert run.config.backbone_lr_factor == 0.1
        assert (run.config.step_epochs, run.config.warmup_epochs) == ((20, 50), 10)
        assert run.data.interpolation == "lanczos"
        assert (run.config.non_local, run.config.non_local_width) == ((0, 2, 3, 0), 1)
    llcm = load_recipe("agw-llcm")
    assert (llcm.config.epochs, llcm.config.non_local_width) == (81, 1)
    assert llcm.data.interpolation == "lanczos"
    erasing = llcm.data.augmentation
    assert (erasing.erasing, erasing.erasing_area) == (0.5, (0.02, 0.4))
    assert erasing.erasing_value == (0, 0, 0)
    assert caj.data.augmentation.erasing_value == (0.4914, 0.4822, 0.4465)
    assert (agw.config.triplet, agw.config.epochs) == ("weighted", 81)
    assert (caj.config.triplet, caj.config.epochs) == ("weighted-squared", 100)
    assert caj.data.augmentation.channel_exchange
    assert caj.data.augmentation.erasing == 0.5
    market = load_recipe("baseline-market1501")
    assert (market.data.ids_per_batch, market.data.images_per_id) == (16, 4)
    assert (market.data.height, market.data.width) == (256, 128)
    assert (market.data.visits, market.data.interpolation) == ("by-images", "bicubic")
    assert (market.config.optimizer, market.config.lr, market.config.epochs) == (
        "adam",
        3.5e-4,
        120,
    )
    assert (market.config.margin, market.config.label_smoothing) == (0.3, 0.1)
    for name, iterations in (("market1501", 100_000), ("dukemtmc", 100_000), ("msmt17", 150_000)):
        run = load_recipe(f"dgnet-{name}")
        assert (run.data.height, run.data.width, run.data.sampling) == (256, 128, "pairs")
        assert (run.data.ids_per_batch, run.config.iterations) == (16, iterations)
        assert (run.config.ramp_start, run.config.ramp_step) == (30_000, 0.0005)
        assert run.data.augmentation.erasing == 0, "DG-Net erases only for the identity losses"
        assert run.data.interpolation == "bicubic"
    for name, iterations in (("dgnet-vi", 100_000), ("proposed-2020", 150_000)):
        run = load_recipe(f"{name}-sysu-mm01")
        assert (run.data.height, run.data.width, run.data.sampling) == (256, 128, "light-pairs")
        assert run.data.train_splits == ("train", "val")
        assert (run.data.ids_per_batch, run.config.iterations) == (16, iterations)
        assert (run.config.lr, run.config.lr_steps[:2]) == (1e-4, (60_000, 90_000))
        assert (run.config.recon_weight, run.config.generated_id_weight) == (5.0, 0.5)
        assert run.data.augmentation.erasing == 0
        assert run.data.interpolation == "bicubic"
    assert load_recipe("dgnet-vi-sysu-mm01").config.detach_code
    for name, slope in (("sysu-mm01", 0), ("regdb", 0), ("promenade", 0.2)):
        assert load_recipe(f"d2rl-{name}").config.slope == slope
    proposed = load_recipe("proposed-2020-sysu-mm01").config
    assert (proposed.margin, proposed.triplet_weight, proposed.fine_weight) == (2.0, 1.0, 0.4)
    assert proposed.structure_body == "shallow+resnet18"


def test_recipes_with_measured_figures_keep_what_these_were_measured_with() -> None:
    """Their own words say so; the demo's says nothing because nothing about it is published."""
    names = [name for name in recipe_names() if name.endswith("-promenade")]
    for name in [*names, "demo"]:
        run = load_recipe(name)
        assert run.data.interpolation == "bilinear", name
        if run.method == "agw":
            assert run.config.non_local_width == "half", name
