"""The systems that a leaderboard knows by name: all that ship, each where it fits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crosslight.config import build, load_recipe
from crosslight.data.promenade import make
from crosslight.experiments.board import asked_of
from crosslight.experiments.board_rows import read_row
from crosslight.experiments.board_works import Training, planned
from crosslight.experiments.costs import count_parameters, cpu_seconds
from crosslight.experiments.options import Filling
from crosslight.experiments.systems import SYSTEMS, named_system
from crosslight.methods.beginning import beginning_of
from crosslight.registry import METHODS, method_class
from crosslight.training.embedding import embed_table
from crosslight.training.run import RunFolder
from crosslight.types import Modality

VARIANTS = {"structure-id-agw": "structure-id"}
VISIBLE = {"baseline", "case-net-released", "dgnet"}


def test_every_method_is_a_system_by_its_name() -> None:
    assert set(SYSTEMS) == {*METHODS, *VARIANTS}
    for name, presets in SYSTEMS.items():
        for preset in presets:
            assert load_recipe(preset.recipe, preset.set).method == VARIANTS.get(name, name)


def test_all_systems_can_have_one_budget_each_on_the_data_that_it_learns_from(
    promenade: Path, tmp_path: Path
) -> None:
    market = tmp_path / "market"
    make(market, preset="tiny", layout="market1501", height=32, width=16, progress=False)
    how = Filling(seeds=(3,), height=128, width=64, overrides=("data.ids_per_batch=4",))
    asked = asked_of(tmp_path / "b", [f"sysu-mm01:{promenade}", f"market1501:{market}"], how)
    assert asked.board.images == 40 * 50 * 32  # as AGW's recipe, with half its people in a batch
    assert (asked.board.backbone, asked.board.weights) == ("resnet18-half", "promenade")
    works = planned(tmp_path / "b", tmp_path / "runs", asked, how)
    assert {work.name for work in works} == {
        *(f"{name} on sysu-mm01" for name in {*SYSTEMS} - VISIBLE | {"baseline", "start"}),
        *(f"{name} on market1501" for name in VISIBLE | {"start"}),
    }
    assert [work.unfit for work in works if isinstance(work, Training)] == [None] * len(works)
    assert not (tmp_path / "b").exists()


def test_the_start_is_the_network_that_ships_at_the_size_of_the_board(
    promenade: Path, tmp_path: Path
) -> None:
    changes = ("data.ids_per_batch=4", "data.workers=0", "config.identity=both",
               "training.precision=32-true")  # fmt: skip
    how = Filling(systems=("structure-id",), seeds=(0,), width=32, height=64, overrides=changes,
                  backbone="resnet18-half", weights="promenade")  # fmt: skip
    asked = asked_of(tmp_path, [f"sysu-mm01:{promenade}"], how)
    start = planned(tmp_path, tmp_path / "runs", asked, how)[0]
    fitting = start.prepare()
    assert fitting is not None
    evaluation = start.finish(fitting)
    assert evaluation is not None
    found, ships = (RunFolder.open(p).load_method() for p in (start.place, Path("promenade")))
    for name, tensor in ships.state_dict().items():
        assert torch.equal(tensor, found.state_dict()[name]), name
    table = evaluation.table
    feats = embed_table(ships, table, height=64, width=32, interpolation="bilinear")
    np.testing.assert_allclose(evaluation.features.feats, feats, rtol=1e-4, atol=1e-4)
    row = read_row(tmp_path / "rows" / "sysu-mm01" / "start" / "seed-0.json")
    assert row.cost is not None
    assert (row.cost.training_per_1000, row.images) == (None, 0)
    assert row.cost.parameters == sum(p.numel() for p in ships.parameters())


def test_a_system_is_named_with_its_switches() -> None:
    name, (preset,) = named_system("structure-id+gray+edge")
    recipe = load_recipe(preset.recipe, preset.set)
    assert (name, recipe.config.structure_source) == ("structure-id+gray+edge", "gray+edge")
    name, (preset,) = named_system("agw-regdb+slow:config.lr=0.01,config.epochs=3")
    recipe = load_recipe(preset.recipe, preset.set)
    assert (name, recipe.config.lr, recipe.config.epochs) == ("agw-regdb+slow", 0.01, 3)
    assert beginning_of(recipe.config) == ("resnet50.tv_in1k", "timm")


def _method(name: str) -> Any:
    cls = method_class(name)
    config = build(cls.Config, dict(cls.small), where="test")
    return cls(config, num_ids=5, height=64, width=32).eval()


def test_what_embeds_is_counted_without_classifiers_and_other_stages() -> None:
    agw = _method("agw")
    found = count_parameters(agw, 64, 32, list(Modality))
    assert found.all == sum(p.numel() for p in agw.parameters())
    classifier = sum(p.numel() for p in agw.head.classifier.parameters())
    assert found.embedding == found.all - classifier
    visible = count_parameters(agw, 64, 32, [Modality.VISIBLE])
    stem = sum(p.numel() for p in agw.backbone.stems[Modality.INFRARED].parameters())
    assert visible.embedding == found.embedding - stem


def test_networks_that_no_gradient_reaches_are_counted_and_stay_so() -> None:
    built = _method("embedding-disentangle")
    frozen = [name for name, p in built.named_parameters() if not p.requires_grad]
    found = count_parameters(built, 64, 32, list(Modality))
    network = sum(p.numel() for p in built.bdtr.parameters())
    assert network / 2 < found.embedding < found.all
    assert frozen == [name for name, p in built.named_parameters() if not p.requires_grad]


def test_time_of_children_that_have_ended_counts() -> None:
    work = "import os; sum(range(5_000_000)); print(os.times().user)"
    before = cpu_seconds()
    took = subprocess.run([sys.executable, "-c", work], check=True, capture_output=True).stdout
    assert cpu_seconds() - before > float(took) / 2 > 0
