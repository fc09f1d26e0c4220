"""Each defect is there in `proposed-2020`, and its switch alone repairs it."""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.data.test_sampling import table_of
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import RecordedUpdate, RoutedUpdate, at
from tests.oracles import structure_id as oracle
from torch import Tensor, nn

import crosslight as cl
from crosslight.config import load_recipe
from crosslight.data.batch import Batch
from crosslight.data.sampling import build_batches
from crosslight.errors import ConfigError
from crosslight.methods.contract import Progress
from crosslight.methods.dgnet.pairs import as_light_pairs
from crosslight.methods.structure_id import Proposed2020, StructureIdentity
from crosslight.methods.structure_id.attribute_head import AttributeHead
from crosslight.methods.structure_id.body import StructureBody
from crosslight.methods.structure_id.config import (
    FUTURE,
    REPAIRS,
    Proposed2020Config,
    StructureIdConfig,
)
from crosslight.nn.backbones import create_backbone
from crosslight.nn.normalize import to_gray

SMALL: dict[str, Any] = {**Proposed2020.small, "ramp_start": 100, "ramp_step": 0.0005}
NUM_IDS = 6


def _method(*repairs: str, **overrides: Any) -> Proposed2020:
    changed = {
        key.removeprefix("config."): value
        for repair in repairs
        for key, value in {**REPAIRS, **FUTURE}[repair].items()
        if key.startswith("config.")
    }
    config = Proposed2020Config(**{**SMALL, **changed, **overrides})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Proposed2020(config, num_ids=NUM_IDS, height=64, width=32)


def _routes(method: Proposed2020, make_batch: MakeBatch) -> RoutedUpdate:
    update = RoutedUpdate(method, iteration=1100)
    method.train().training_step(make_batch(), update)
    return update


def _convolutions(network: nn.Module) -> list[Tensor]:
    return [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)]


def test_defect_1_the_random_start_overwrites_loaded_weights(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        resnet = create_backbone("resnet10-quarter").network
    with torch.no_grad():
        for norm in (m for m in resnet.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.running_mean.add_(0.5)
    state = {k: v.contiguous() for k, v in resnet.state_dict().items()}
    save_file(state, tmp_path / "resnet.safetensors")
    file = str(tmp_path / "resnet.safetensors")
    for repairs, kept in (((), False), (("kept-initialisation",), True)):
        method = _method(*repairs, body_weights=file)
        loaded = method.body["structure"].layers.network
        pairs = zip(_convolutions(loaded), _convolutions(resnet), strict=True)
        assert all(torch.equal(own, file) == kept for own, file in pairs)
        assert torch.equal(loaded.bn1.running_mean, resnet.bn1.running_mean), "always kept"
        deviation = method.heads["structure"].primary.classifier.weight.std().item()
        assert (deviation < 0.002) == kept


def test_defect_2_three_channels_and_a_map_of_a_few_pixels() -> None:
    sizes = {}
    for squeezed in (True, False):
        body = StructureBody(
            128,
            kind="shallow+resnet18",
            network=None,
            weights="none",
            squeezed=squeezed,
        ).eval()
        last = body.layers.network.layer4 if squeezed else body.layers[-1]
        shapes: list[tuple[int, ...]] = []
        body.layers.register_forward_pre_hook(lambda _, maps, s=shapes: s.append(maps[0].shape))
        last.register_forward_hook(lambda _m, _i, maps, s=shapes: s.append(maps.shape))
        with torch.no_grad():
            assert body(torch.randn(1, 128, 64, 32)).shape == (1, body.channels)
        sizes[squeezed] = [tuple(shape[1:]) for shape in shapes]
    assert sizes[True] == [(3, 64, 32), (512, 2, 1)]
    assert sizes[False] == [(64, 64, 32), (512, 16, 8)]


def test_defect_3_nothing_trains_the_appearance_encoder(make_batch: MakeBatch) -> None:
    faulty = _method()
    before = {k: v.clone() for k, v in faulty.appearance.state_dict().items()}
    update = _routes(faulty, make_batch)
    assert not any("appearance" in routes for routes in update.routes.values())
    assert not any(p.requires_grad for p in faulty.appearance.parameters())
    after = faulty.appearance.state_dict()
    drifted = {k for k, v in before.items() if not torch.equal(v, after[k])}
    assert drifted
    assert all("running" in k or "num_batches" in k for k in drifted), "statistics alone"
    repaired = _routes(_method("appearance-learns"), make_batch)
    for loss in ("loss_recon_same_image", "loss_recon_same_id", "loss_adversarial"):
        assert "appearance" in repaired.routes[loss]


@pytest.mark.parametrize(
    ("identity", "learns", "trained"),
    [
        ("structure", False, False),
        ("structure", True, True),
        ("appearance", False, True),
        ("both", False, True),
        ("both", True, True),
    ],
)
def test_the_appearance_encoder_learns_by_what_is_drawn_or_by_whom_it_identifies(
    identity: str, learns: bool, trained: bool
) -> None:
    method = _method(identity=identity, appearance_learns=learns)
    assert {p.requires_grad for p in method.appearance.parameters()} == {trained}


def test_defect_4_a_person_is_hardly_ever_in_a_batch_in_both_lights() -> None:
    table = table_of([(8, 6)] * 60)
    recipe = load_recipe("proposed-2020-promenade").data
    changed = {
        key.removeprefix("data."): value
        for key, value in REPAIRS["cross-modal-batches"].items()
        if key.startswith("data.")
    }
    assert _method("cross-modal-batches").config.exchange == "coin"
    shares = []
    for data in (recipe, replace(recipe, **changed)):
        batches = build_batches(table, data, seed=0)
        assert batches.batch_size == 32
        seen = [
            np.mean(
                [
                    ((table.pids[b] == table.pids[row]) & (table.modality[b] != light)).any()
                    for row, light in zip(b, table.modality[b], strict=True)
                ]
            )
            for b in batches.batches(0)[:40]
        ]
        shares.append(float(np.mean(seen)))
    assert shares[0] < 0.2
    assert shares[1] == 1


def test_defect_5_triplets_and_matching_on_logits(make_batch: MakeBatch) -> None:
    batch = make_batch()
    found = {}
    for repairs in ((), ("embedding-matching",)):
        method = _method(*repairs)
        update = RoutedUpdate(method, iteration=1100)
        method.train().training_step(batch, update)
        reached = update.reached["loss_triplet_structure"]
        with torch.no_grad():
            embedding = method.eval().embed(batch.images, batch.modality)
        classifies = any("classifier.weight" in name for name in reached)
        found[repairs] = (classifies, embedding.shape[1])
    assert found[()] == (True, 2 * NUM_IDS)
    assert found["embedding-matching",] == (False, 2 * SMALL["dim"])


def test_defect_6_identity_moves_with_the_generators_adam(make_batch: MakeBatch) -> None:
    faulty, repaired = _method(), _method("own-optimizer")
    assert set(faulty.optimizers()) == {"critic", "generator"}
    groups = repaired.optimizers()["identity"].optimizer.param_groups
    assert groups[1]["lr"] == 10 * groups[0]["lr"]
    assert groups[0]["momentum"] == 0.9
    heads = {id(p) for p in repaired.heads.parameters()}
    assert {id(p) for p in groups[1]["params"]} == heads
    generator = faulty.optimizers()["generator"].optimizer
    assert generator.param_groups[0]["betas"] == (0.0, 0.999)
    assert {id(p) for p in faulty.heads.parameters()} <= {
        id(p) for group in generator.param_groups for p in group["params"]
    }
    for method, names in ((faulty, ("generator",)), (repaired, ("generator", "identity"))):
        assert _routes(method, make_batch).order[-1] == names


GENERATOR = {"structure", "adain", "decoder"}


@pytest.mark.parametrize("iteration", [50, 1100])
@pytest.mark.parametrize(
    ("repairs", "again", "trained"),
    [
        ((), True, {"structure", "body", "heads"}),
        ((), False, GENERATOR),
        (("generator-learns",), True, GENERATOR),
        (("generator-learns",), False, GENERATOR),
    ],
)
def test_defect_7_the_generator_hardly_learns_identity(
    repairs: tuple[str, ...], again: bool, trained: set[str], iteration: int, make_batch: MakeBatch
) -> None:
    method = _method(*repairs, again_probability=float(again)).train()
    update = RoutedUpdate(method, iteration=iteration)
    method.training_step(make_batch(), update)
    assert update.routes["loss_id_generated_structure"] == trained
    if iteration == 1100:
        assert update.routes["loss_recon_structure"] == ({"structure"} if again else GENERATOR)


@pytest.mark.parametrize("again", [True, False])
def test_defect_8_statistics_of_few_images_that_move_often(
    again: bool, make_batch: MakeBatch
) -> None:
    seen = {}
    for repairs in ((), ("joint-statistics",), ("joint-statistics", "generator-learns")):
        method = _method(*repairs, again_probability=float(again)).train()
        sizes: list[int] = []
        method.body["structure"].register_forward_pre_hook(
            lambda module, codes, s=sizes: s.append(
                len(codes[0]) if next(module.parameters()).requires_grad else -len(codes[0])
            )
        )
        method.training_step(make_batch(), RoutedUpdate(method, iteration=1100))
        norms = {n: int(v) for n, v in method.state_dict().items() if "num_batches" in n}
        seen[repairs] = (
            sizes,
            {c for n, c in norms.items() if not n.startswith("appearance")},
            {c for n, c in norms.items() if n.startswith("appearance")},
        )
    # Minus: through a copy that neither learns nor remembers.
    generated = [4, 4] if again else [-4, -4]
    assert seen[()] == ([4] * 8 + generated, {10 if again else 8}, {4})
    generated = [8] if again else [-8]
    assert seen["joint-statistics",] == ([16, *generated], {2 if again else 1}, {1})
    assert seen["joint-statistics", "generator-learns"] == ([16, -8], {1}, {1})


def test_only_the_mirror_image_is_scored(make_batch: MakeBatch) -> None:
    batch = make_batch()
    changed = batch.images.clone()
    with torch.no_grad():
        faulty, repaired = _method().eval(), _method("both-views").eval()
        alone = faulty.embed(batch.images, batch.modality)
        mirrored = faulty.embed(changed.flip(-1), batch.modality)
        assert not torch.allclose(alone, mirrored, atol=1e-4)
        both = [repaired.embed(x, batch.modality) for x in (batch.images, changed.flip(-1))]
    torch.testing.assert_close(both[0], both[1], rtol=1e-4, atol=1e-5)


def test_all_repairs_together_are_structure_id() -> None:
    repaired = {
        key.removeprefix("config."): value
        for changes in REPAIRS.values()
        for key, value in changes.items()
        if key.startswith("config.")
    }
    faulty, wanted = Proposed2020Config(), StructureIdConfig()
    for field in fields(faulty):
        expected = {"identity": "both", **repaired}.get(field.name, getattr(faulty, field.name))
        assert getattr(wanted, field.name) == expected, field.name
    assert list(REPAIRS)[:8] == [
        "kept-initialisation",
        "wide-body",
        "appearance-learns",
        "cross-modal-batches",
        "embedding-matching",
        "own-optimizer",
        "generator-learns",
        "joint-statistics",
    ]


@pytest.mark.parametrize("switch", FUTURE)
def test_what_was_left_for_later_trains(switch: str, make_batch: MakeBatch) -> None:
    changed = {k.removeprefix("config."): v for k, v in FUTURE[switch].items()}
    config = StructureIdConfig(**{**SMALL, "structure_source": "gray+edge", **changed})
    method = StructureIdentity(config, num_ids=NUM_IDS, height=64, width=32).train()
    update = RoutedUpdate(method, iteration=1100)
    figures = method.training_step(make_batch(), update)
    assert all(torch.isfinite(value) for value in figures.values())
    sources = {
        "structure": ["structure"],
        "appearance": ["appearance"],
        "both": ["structure", "appearance"],
    }[config.identity]
    for code in ("structure", "appearance"):
        assert (f"loss_id_{code}" in figures) == (code in sources)
    for code in sources:
        assert code in update.routes[f"loss_id_{code}"]
        assert update.routes[f"loss_id_generated_{code}"] <= {
            "structure",
            "adain",
            "decoder",
            "appearance",
        }, "the judging heads are frozen"


@pytest.mark.parametrize("across", [True, False])
def test_people_of_a_batch_exchange_codes_with_others(across: bool, make_batch: MakeBatch) -> None:
    for ids, per_modality in ((4, 2), (4, 4), (2, 2)):
        batch = make_batch(ids=ids, per_modality=per_modality)
        rows = torch.arange(len(batch))[:, None, None, None].expand(-1, 3, 1, 1)
        pairs = as_light_pairs(rows, batch.labels, batch.modality, across=across)
        taken = torch.cat([pairs.images, pairs.partners])[:, 0, 0, 0]
        assert sorted(taken.tolist()) == list(range(len(batch)))
        ours, theirs = pairs.images[:, 0, 0, 0].chunk(2)
        assert (batch.labels[ours] != batch.labels[theirs]).all()
        assert ((batch.modality[ours] != batch.modality[theirs]) == across).all()
        own, partner = pairs.images[:, 0, 0, 0], pairs.partners[:, 0, 0, 0]
        assert torch.equal(batch.labels[own], batch.labels[partner])
        assert torch.equal(batch.modality[own], batch.modality[partner])


def test_attributes_train_the_structure_code_and_unknown_ones_do_not(
    make_batch: MakeBatch, tmp_path: Path
) -> None:
    (tmp_path / "known.csv").write_text("pid,hat,bag\n0,1,\n10,0,\n20,,\n")
    batch = make_batch()
    batch = replace(batch, pids=10 * batch.labels)
    config = {"attributes": ("hat", "bag"), "attributes_file": str(tmp_path / "known.csv")}
    method = _method("kept-initialisation", **config).train()
    update = RoutedUpdate(method, iteration=1100)
    figures = method.training_step(batch, update)
    assert {"structure", "body", "attributes"} <= update.routes["loss_attributes"]
    # Two of four people are known, by one attribute; at the start every answer is about even.
    assert figures["loss_attributes"].item() == pytest.approx(np.log(2), abs=0.3)
    (tmp_path / "known.csv").write_text("pid,hat,bag\n7,1,1\n")
    nobody = _method(**config).train()
    assert nobody.training_step(batch, RoutedUpdate(nobody, iteration=1100))["loss_attributes"] == 0
    with pytest.raises(ConfigError, match=r"Batch\.pids"):
        nobody.training_step(make_batch(), RoutedUpdate(nobody, iteration=1100))


def test_a_first_stage_may_train_identity_alone(make_batch: MakeBatch) -> None:
    assert [s.name for s in _method(identity_iterations=0).stages()] == ["joint"]
    method = _method("own-optimizer", identity_iterations=7, lr_steps=(1,)).train()
    assert [(s.name, s.iterations) for s in method.stages()] == [("identity", 7), ("joint", 4)]
    update = RoutedUpdate(method, stage="identity", iteration=1100)
    figures = method.training_step(make_batch(), update)
    assert set(figures) == {
        f"loss_{name}_structure" for name in ("id", "id_partner", "id_fine", "triplet")
    }
    assert update.order == [("generator", "identity")]
    assert set(update.losses) == set(figures)
    for scheduled in method.optimizers().values():
        assert scheduled.factor(update.progress) == 1
        assert scheduled.factor(replace(update.progress, stage="joint")) < 1


def test_rates_of_identity_may_fall_over_both_stages_together() -> None:
    config = {"identity_optimizer": "adamw", "identity_iterations": 2, "iterations": 4}
    steps, cosine = (_method(**config, identity_schedule=kind) for kind in ("steps", "cosine"))
    places = [("identity", 0), ("identity", 1), *(("joint", n) for n in range(4))]

    def factors(name: str) -> list[float]:
        factor = cosine.optimizers()[name].factor
        return [
            factor(Progress(stage=stage, iteration=n, iterations=4, iterations_per_epoch=1))
            for stage, n in places
        ]

    assert factors("identity") == pytest.approx([1.0, 0.9330127019, 0.75, 0.5, 0.25, 0.0669872981])
    assert factors("generator")[:2] == [1.0, 1.0]
    last = Progress(stage="identity", iteration=1, iterations=2, iterations_per_epoch=1)
    assert steps.optimizers()["identity"].factor(last) == 1.0


def test_contradictions_are_refused() -> None:
    for changed, sentence in (
        ({"identity_schedule": "cosine"}, "moves with the generator's optimizer"),
        ({"attributes": ("hat",)}, "give both or none"),
        ({"attributes": ("hat",), "attributes_file": "x.csv", "identity": "appearance"}, "struct"),
        ({"body_network": "vit_tiny_patch16_224", "structure_body": "resnet50"}, "a ResNet"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            _method(**changed)


def test_codes_and_drawings(make_batch: MakeBatch) -> None:
    method = _method("identity-from-both").eval()
    batch = make_batch()
    with torch.no_grad():
        codes = method.codes(batch.images, batch.modality)
        maps = method.structure_maps(batch.images)
        drawn = method.swap(batch.images[:2], batch.images[-2:])
    assert set(codes) == {
        *("appearance", "structure", "structure_primary", "structure_fine"),
        *("appearance_primary", "appearance_fine"),
    }
    assert all(len(code) == len(batch) and code.ndim == 2 for code in codes.values())
    assert maps.shape == (len(batch), 32, 16, 8)
    assert drawn.shape == (2, 3, 64, 32)


WEIGHTS: dict[str, Any] = {
    "structure_width": 2,
    "critic_width": 2,
    "dim": 24,
    "primary_dropout": 0.3,
    "fine_dropout": 0.6,
    "recon_weight": 3.0,
    "id_weight": 0.7,
    "generated_id_weight": 0.9,
    "adversarial_weight": 1.3,
    "penalty_weight": 0.02,
    "triplet_weight": 0.6,
    "margin": 1.5,
    "ramp_step": 0.004,
    "code_weight": 0.8,
    "cycle_weight": 1.7,
    "fine_ratio": 0.3,
    "fine_weight": 0.45,
    "label_smoothing": 0.13,
    "attribute_weight": 0.35,
    "erasing": 0.7,
    "erasing_area": (0.05, 0.3),
    "lr": 3e-4,
    "identity_lr": 0.003,
    "identity_head_lr": 0.007,
    "weight_decay": 7e-4,
    "lr_steps": (103, 312),
}
"""No two alike, none a default, so that none can stand for another; and thin networks."""


def _iterations(
    *repairs: str,
    make_batch: MakeBatch,
    stage: str = "joint",
    iteration: int = 310,
    again: bool = True,
    **overrides: Any,
) -> None:
    """Losses, gradients, weights and statistics over two iterations, with all that is drawn."""
    chances = {"again_probability": 0.9 if again else 0.1}
    method = scrambled(_method(*repairs, **{**WEIGHTS, **chances, **overrides}))
    answers: dict[int, list[float | None]] = {0: [1, None], 1: [0, 0], 2: [None, None], 3: [1, 1]}
    plain = oracle.PlainStep(copy.deepcopy(method), answers)
    places = [at(method, stage=stage, iteration=i) for i in (iteration, iteration + 1)]
    torch.manual_seed(0)
    batches = mirrored(make_batch(), 2)
    if method.config.exchange == "as-sampled":
        batches = [replace(batch, labels=batch.labels.roll(2)) for batch in batches]
    batches = [replace(batch, pids=10 * batch.labels) for batch in batches]
    # Batch normalisation of four images, and steps as long as rounding, cost a digit.
    assert_iterations_agree(method, plain, batches, places=places, rounding=1e-8)


@pytest.mark.parametrize(
    ("iteration", "again", "erasing"), [(101, True, 0.7), (310, False, 0.7), (310, True, 0.0)]
)
def test_iterations_of_the_run_agree_with_the_plain_formulation(
    iteration: int, again: bool, erasing: float, make_batch: MakeBatch
) -> None:
    _iterations(iteration=iteration, again=again, erasing=erasing, make_batch=make_batch)


@pytest.mark.parametrize(
    "repairs",
    [
        ("wide-body", "appearance-learns", "own-adamw", "plain-ramps"),
        ("cross-modal-batches", "embedding-matching", "generator-learns", "joint-statistics"),
    ],
)
def test_iterations_with_some_repairs_agree_with_the_plain_formulation(
    repairs: tuple[str, ...], make_batch: MakeBatch
) -> None:
    _iterations(*repairs, iteration=100, again=False, make_batch=make_batch)


@pytest.mark.parametrize(
    ("repairs", "changes"),
    [
        ((), {"identity": "appearance", "structure_source": "edge"}),
        ((), {"identity": "both", "structure_body": "shallow", "margin": None}),
        (tuple(REPAIRS), {"structure_body": "resnet50", "structure_source": "gray+edge"}),
        (tuple(REPAIRS), {"identity": "both", "erasing": 0.0}),
    ],
)
def test_iterations_with_what_was_left_for_later_agree_with_the_plain_formulation(
    repairs: tuple[str, ...], changes: dict[str, Any], make_batch: MakeBatch
) -> None:
    _iterations(*repairs, make_batch=make_batch, **changes)


def test_attributes_are_answered_in_float32(make_batch: MakeBatch, tmp_path: Path) -> None:
    (tmp_path / "known.csv").write_text("pid,hat\n0,1\n1,0\n")
    batch = make_batch(ids=2)
    head = AttributeHead(4, ("hat",), str(tmp_path / "known.csv"))
    kinds: list[torch.dtype] = []
    head.answers.register_forward_hook(lambda _, __, logits: kinds.append(logits.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        head.loss(torch.rand(len(batch), 4), batch.labels, replace(batch, pids=batch.labels))
    assert kinds == [torch.float32]


@pytest.mark.parametrize("stage", ["identity", "joint"])
def test_iterations_with_attributes_agree_with_the_plain_formulation(
    stage: str, make_batch: MakeBatch, tmp_path: Path
) -> None:
    (tmp_path / "known.csv").write_text("pid,hat,bag\n0,1,\n10,0,0\n30,1,1\n")
    _iterations(
        *REPAIRS,
        stage=stage,
        make_batch=make_batch,
        attributes=("hat", "bag"),
        attributes_file=str(tmp_path / "known.csv"),
        identity="both",
    )


def _two_streams(**overrides: Any) -> StructureIdentity:
    changed = {k.removeprefix("config."): v for k, v in FUTURE["agw-appearance"].items()}
    config = StructureIdConfig(**{**SMALL, **changed, **overrides})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return StructureIdentity(config, num_ids=NUM_IDS, height=128, width=64)


def test_two_streams_begin_as_the_weights_that_ship(make_batch: MakeBatch) -> None:
    begun = _two_streams(backbone="resnet18-half", weights="promenade").eval()
    shipped = cl.load_run("promenade").method.eval()
    batch = make_batch(height=128, width=64)
    with torch.no_grad():
        _, vectors = begun.appearance(begun.normalize(batch.images), batch.modality)
        maps = shipped.backbone(shipped.normalize(batch.images), batch.modality)
        torch.testing.assert_close(vectors, shipped.pool(maps), rtol=1e-4, atol=1e-5)


def test_an_image_without_colours_is_seen_as_infrared_where_nobody_tells_the_light() -> None:
    method = _two_streams().eval()
    with torch.no_grad():
        for stem in method.appearance.streams.stems[1].parameters():
            stem.mul_(1.5)  # so that the stems differ
        images = torch.rand(4, 3, 128, 64)
        images[1], images[3] = (to_gray(images[n : n + 1])[0].expand(3, -1, -1) for n in (1, 3))
        normalised = method.normalize(images)
        lights = torch.tensor([0, 1, 0, 1])
        for told, guessed in zip(
            method.appearance(normalised, lights), method.appearance(normalised), strict=True
        ):
            assert torch.equal(told, guessed)
        assert not torch.allclose(
            method.appearance(normalised, 1 - lights)[1], method.appearance(normalised)[1]
        )


def test_identity_alone_is_learnt_from_gray_images_too(make_batch: MakeBatch) -> None:
    batch = make_batch(height=128, width=64)
    gray = replace(batch, images=to_gray(batch.images).expand_as(batch.images))

    def losses(batch: Batch, stage: str, share: float) -> dict[str, float]:
        plain = {"erasing": 0.0, "primary_dropout": 0.0, "fine_dropout": 0.0}
        method = _two_streams(identity_gray=share, **plain).train()
        torch.manual_seed(1)
        update = RecordedUpdate(method, stage=stage)
        method.training_step(batch, update)
        return update.losses

    wanted = pytest.approx(losses(gray, "identity", 0.0), rel=1e-5)
    assert losses(batch, "identity", 1.0) == wanted
    assert losses(batch, "identity", 0.0) != wanted
    assert losses(batch, "joint", 1.0) == losses(batch, "joint", 0.0), "what is drawn has colours"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [({"identity": "structure"}, "does not ask it"), ({"match_on": "logits"}, "match_on")],
)
def test_two_streams_that_nobody_asks_are_refused(overrides: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        _two_streams(**overrides)


@pytest.mark.parametrize("again", [0.0, 1.0])
@pytest.mark.parametrize("joint", [True, False])
def test_two_streams_learn_whoever_the_coin_trains(
    again: float, joint: bool, make_batch: MakeBatch
) -> None:
    method = _two_streams(
        generated_identity="coin", again_probability=again, joint_statistics=joint
    ).train()
    figures = method.training_step(
        make_batch(height=128, width=64), RoutedUpdate(method, iteration=1100)
    )
    assert all(torch.isfinite(value) for value in figures.values())
    assert {"loss_id_appearance", "loss_id_generated_appearance"} <= figures.keys()
