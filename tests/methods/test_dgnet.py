from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import RecordedUpdate, RoutedUpdate, at
from tests.oracles import dgnet as oracle

from crosslight.errors import ConfigError
from crosslight.methods.contract import Progress, refuse_few_ids, stages_to_train
from crosslight.methods.dgnet import DGNet, DGNetConfig, ramped_weights
from crosslight.methods.dgnet import method as dgnet_method
from crosslight.methods.dgnet.config import stepped
from crosslight.methods.dgnet.equations import RampedWeights, adversarial_loss
from crosslight.methods.dgnet.networks import (
    STRIPES,
    AppearanceEncoder,
    Decoder,
    StructureEncoder,
)
from crosslight.methods.dgnet.pairs import as_pairs
from crosslight.nn.backbones import create_backbone
from crosslight.nn.critic import MultiScaleCritic
from crosslight.nn.weights import initial_weights_left_out
from crosslight.training.given_stages import take_given

SMALL: dict[str, Any] = {
    "backbone": "resnet10-quarter",
    "weights": "none",
    "structure_width": 4,
    "critic_width": 4,
    "adain_width": 16,
    "dim": 24,
    "dilations": (1, 2, 3),
    "ramp_start": 100,
}


def _dgnet(**overrides: Any) -> DGNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DGNet(DGNetConfig(**{**SMALL, **overrides}), num_ids=6, height=64, width=32)


PAPER = {"different_ids": True, "code_slices": "stripes", "appearance_code_gradient": True}
STEADY = {"joint_statistics": True, "teacher_statistics": "running", "teacher_dropout": False}
WEIGHTS: dict[str, Any] = {
    "structure_width": 2,
    "critic_width": 2,
    "primary_dropout": 0.3,
    "fine_dropout": 0.6,
    "recon_weight": 3.0,
    "id_weight": 0.7,
    "generated_id_weight": 0.9,
    "adversarial_weight": 1.3,
    "penalty_weight": 0.02,
    "ramp_step": 0.004,
    "code_weight": 0.8,
    "cycle_weight": 1.7,
    "primary_weight": 1.1,
    "fine_ratio": 0.3,
    "erasing": 0.7,
    "erasing_area": (0.05, 0.3),
    "lr": 3e-4,
    "identity_lr": 0.003,
    "identity_head_lr": 0.05,
    "weight_decay": 7e-4,
    "lr_steps": (103, 312),
    "teacher_lr": 0.03,
    "teacher_lr_steps": (7,),
    "teacher_warmup": 9,
}
"""No two alike, none a default, so that none can stand for another; and thin networks."""


@pytest.mark.parametrize(
    ("iteration", "again", "switch"),
    [
        (101, True, {}),
        (101, False, {}),
        (310, False, {}),
        (1100, True, PAPER),
        (1100, False, {**PAPER, **STEADY}),
    ],
)
def test_iterations_agree_with_the_plain_formulation(
    iteration: int, again: bool, switch: dict[str, Any], make_batch: MakeBatch
) -> None:
    """Losses, gradients, weights and statistics over two iterations, with all that is drawn."""
    method = scrambled(_dgnet(**{**WEIGHTS, **switch}, again_probability=0.9 if again else 0.1))
    plain = oracle.PlainStep(copy.deepcopy(method))
    places = [at(method, iteration=i) for i in (iteration, iteration + 1)]
    torch.manual_seed(0)
    # So that some rows meet their own person, not all.
    batches = [replace(b, labels=b.labels.roll(2)) for b in mirrored(make_batch(), 2)]
    assert_iterations_agree(method, plain, batches, places=places)


@pytest.mark.parametrize("iteration", [0, 5, 8])
def test_the_teachers_iterations_agree_with_the_plain_formulation(
    iteration: int, make_batch: MakeBatch
) -> None:
    method = scrambled(_dgnet(**WEIGHTS))
    plain = oracle.PlainStep(copy.deepcopy(method))
    places = [at(method, stage="teacher", iteration=i) for i in (iteration, iteration + 1)]
    assert_iterations_agree(method, plain, mirrored(make_batch(), 2), places=places)


def test_networks_that_others_share_can_be_larger_or_see_colour() -> None:
    maps = torch.rand(2, 3, 32, 16)
    assert StructureEncoder(2, (1, 1, 1), source="colour")(maps).shape == (2, 16, 8, 4)
    for doublings, channels in ((2, 8), (4, 32)):
        adain = torch.ones(2, STRIPES, 2, 2, channels)
        drawn = Decoder(channels, doublings=doublings)(torch.rand(2, channels, 4, 2), adain)
        assert drawn.shape == (2, 3, 4 * 2**doublings, 2 * 2**doublings)
    backbone = create_backbone("resnet10-quarter", last_stride=2).eval()
    code, vector = AppearanceEncoder(backbone, pooling="avg").eval()(torch.rand(2, 3, 128, 64))
    torch.testing.assert_close(code.mean(dim=2), vector)


def test_the_factor_of_the_adversarial_loss_is_2_unless_said_otherwise() -> None:
    critic, images = MultiScaleCritic(width=2, scales=2, blocks=1), torch.rand(2, 3, 16, 16)
    plain = adversarial_loss(critic, images, factor=1)
    torch.testing.assert_close(adversarial_loss(critic, images), 2 * plain)


GENERATOR = {"structure", "adain", "decoder"}
ROUTES = {
    # loss: the networks that it trains when a coin says "again", and when it says "copy"
    "loss_recon_same_image": (GENERATOR, GENERATOR),
    "loss_recon_same_id": (GENERATOR, GENERATOR),
    "loss_adversarial": (GENERATOR, GENERATOR),
    "loss_id_generated": (GENERATOR, GENERATOR),
    "loss_recon_structure": ({"structure"}, GENERATOR),
    "loss_cycle": (GENERATOR, GENERATOR),
    "loss_critic": ({"critic"}, {"critic"}),
    "loss_penalty": ({"critic"}, {"critic"}),
    "loss_id": ({"appearance", "primary"}, {"appearance", "primary"}),
    "loss_id_partner": ({"appearance", "primary"}, {"appearance", "primary"}),
    "loss_id_fine": ({"appearance", "fine"}, {"appearance", "fine"}),
    "loss_primary": ({"appearance", "primary"}, {"appearance", "primary"}),
    "loss_fine": ({"appearance", "fine"}, {"appearance", "fine"}),
}


@pytest.mark.parametrize("again", [True, False])
def test_each_loss_trains_the_networks_of_the_description(
    again: bool, make_batch: MakeBatch
) -> None:
    method = _dgnet(again_probability=float(again)).train()
    update = RoutedUpdate(method, iteration=1100)
    figures = method.training_step(make_batch(), update)
    expected = {name: routes[0 if again else 1] for name, routes in ROUTES.items()}
    assert update.routes == expected
    assert "loss_recon_appearance" in figures, "logged, though it trains nothing"


def test_the_appearance_code_loss_can_train_the_generator(make_batch: MakeBatch) -> None:
    method = _dgnet(appearance_code_gradient=True).train()
    update = RoutedUpdate(method, iteration=1100)
    method.training_step(make_batch(), update)
    assert update.routes["loss_recon_appearance"] == GENERATOR


def test_critic_moves_first_then_generator_then_identity(make_batch: MakeBatch) -> None:
    method = _dgnet()
    update = RecordedUpdate(method)
    method.training_step(make_batch(), update)
    assert update.order == ["critic", "generator", "identity"]


def test_published_networks() -> None:
    with torch.device("meta"), initial_weights_left_out():
        method = DGNet(DGNetConfig(), num_ids=751, height=256, width=128)
    method.to_empty(device="cpu").eval()
    images = torch.zeros(2, 3, 256, 128)
    with torch.no_grad():
        code, vector = method.appearance(images)
        structure = method.structure(images)
        colours = method.adain(code)
        verdicts = method.critic(images)
        drawn = method.decoder(structure, colours)

    def millions(*names: str) -> float:
        networks = [method.get_submodule(name) for name in names]
        return round(sum(p.numel() for n in networks for p in n.parameters()) / 1e6, 3)

    assert millions("structure") == 0.381
    assert millions("decoder") == 1.456
    assert millions("adain") == 11.545
    assert millions("critic") == 1.026
    assert millions("appearance", "primary", "fine") == 26.379  # 28.43 with an unused classifier
    assert (code.shape, vector.shape) == ((2, 2048, 4), (2, 2048))
    assert structure.shape == (2, 128, 64, 32)
    assert colours.numel() == 2 * 2048
    assert drawn.shape == images.shape
    assert [verdict.shape[1:] for verdict in verdicts] == [(1, 64, 32), (1, 32, 16), (1, 16, 8)]


def test_losses_start_where_the_release_starts(make_batch: MakeBatch) -> None:
    method = _dgnet(critic_width=32).train()
    figures = method.training_step(make_batch(), RoutedUpdate(method))  # moves nothing
    assert figures["loss_critic"].item() == pytest.approx(6, abs=0.1)
    assert figures["loss_adversarial"].item() == pytest.approx(12, abs=0.2)


def test_ramps_are_those_of_the_release() -> None:
    config = DGNetConfig()
    for iteration in (0, 29_999, 30_000, 30_001, 30_002, 30_003, 31_000, 32_000, 34_001, 50_000):
        tested, multiplied = oracle.ramp(iteration, config)
        found = ramped_weights(config, iteration)
        begun = tested["teacher"] > 0
        assert found.any == begun == (iteration >= 30_002)
        if begun:
            assert found.code == pytest.approx(multiplied["recon_s"], abs=1e-9)
            assert found.cycle == pytest.approx(multiplied["cycle"], abs=1e-9)
            assert found.primary == pytest.approx(multiplied["teacher"], abs=1e-9)
            assert found.fine == pytest.approx(0.2 * multiplied["teacher"], abs=1e-9)
        assert found.fine_real == pytest.approx(0.2 * tested["teacher"], abs=1e-9)


def test_without_a_start_the_ramp_never_begins() -> None:
    assert not ramped_weights(DGNetConfig(ramp_start=None), 10**6).any


def test_ramped_losses_begin_at_30002_with_a_thousandth() -> None:
    weights = ramped_weights(DGNetConfig(), 30_002)
    assert (weights.code, weights.cycle, weights.primary) == pytest.approx((0.001,) * 3)
    assert (weights.fine, weights.fine_real) == pytest.approx((0.0002, 0.0001))
    assert not ramped_weights(DGNetConfig(), 30_001).any


def test_learning_rates_fall_at_60k_and_90k() -> None:
    method = _dgnet()
    rates = {n: s.factor for n, s in method.optimizers().items() if n != "teacher"}
    for iteration, factor in ((0, 1), (59_998, 1), (59_999, 0.1), (89_999, 0.01), (99_999, 0.01)):
        progress = Progress(
            stage="joint", iteration=iteration, iterations=100_000, iterations_per_epoch=1617
        )
        assert all(rate(progress) == pytest.approx(factor) for rate in rates.values())
        assert stepped(())(progress) == 1
    groups = {n: s.optimizer.param_groups for n, s in method.optimizers().items()}
    assert [g["lr"] for g in groups["identity"]] == [0.002, 0.02]
    assert groups["critic"][0]["betas"] == groups["generator"][0]["betas"] == (0.0, 0.999)
    assert all(g["weight_decay"] == 5e-4 for own in groups.values() for g in own)


def test_slices_of_the_code() -> None:
    """By channels, as released: a change of channel 0 colours the first block alone."""
    code = torch.rand(1, 128, 4)
    changed = {"channels": code.clone(), "stripes": code.clone()}
    changed["channels"][:, 0] += 1
    changed["stripes"][:, :, 0] += 1
    for slices, other in changed.items():
        adain = _dgnet(code_slices=slices).adain
        differs = (adain(code) != adain(other)).flatten(2).any(dim=2)[0]
        assert differs.tolist() == [True, False, False, False]


def test_different_people_meet_where_that_is_asked_for() -> None:
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 3, 3]).repeat_interleave(2)
    images = torch.arange(16.0)[:, None, None, None].expand(-1, 3, 2, 2)
    lights = torch.arange(16) % 2
    plain = as_pairs(images, labels, lights, different_ids=False)
    apart = as_pairs(images, labels, lights, different_ids=True)
    assert (plain.labels == plain.other_labels).any()
    assert not (apart.labels == apart.other_labels).any()
    assert sorted(apart.labels.tolist()) == sorted(plain.labels.tolist())
    for pairs in (plain, apart):
        assert torch.equal(pairs.partners, pairs.images + 1)
        assert torch.equal(labels[pairs.images[:, 0, 0, 0].long()], pairs.labels)
        assert torch.equal(lights[pairs.all_images[:, 0, 0, 0].long()], pairs.modality)


def test_a_batch_without_halves_of_pairs_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.sampling to pairs"):
        as_pairs(torch.rand(6, 3, 4, 4), torch.zeros(6), torch.zeros(6), different_ids=False)


def test_images_too_small_for_the_pyramid_are_refused() -> None:
    with pytest.raises(ConfigError, match="dilations"):
        _dgnet(dilations=(3, 6, 9))


def test_a_given_teacher_is_loaded_and_not_trained(tmp_path: Path, make_batch: MakeBatch) -> None:
    trained = _dgnet()
    weights = {k: v.contiguous() for k, v in trained.state_dict().items()}
    save_file(weights, tmp_path / "whole.safetensors")
    alone = {k: v.contiguous() for k, v in trained.teacher.state_dict().items()}
    save_file(alone, tmp_path / "teacher.safetensors")
    for name in ("whole", "teacher"):
        with torch.random.fork_rng():
            torch.manual_seed(7)
            config = DGNetConfig(**SMALL, teacher_weights=str(tmp_path / f"{name}.safetensors"))
            method = DGNet(config, num_ids=6, height=64, width=32).train()
        take_given(method)
        assert [stage.name for stage in stages_to_train(method)] == ["joint"]
        assert not any(p.requires_grad for p in method.teacher.parameters())
        assert "teacher" not in method.optimizers()
        method.training_step(make_batch(), RecordedUpdate(method, iteration=1100))
        for key, value in trained.teacher.state_dict().items():
            assert torch.equal(method.teacher.state_dict()[key], value), key


@pytest.mark.parametrize(("floor", "warns"), [(0.0, False), (1.01, True)])
def test_the_teachers_accuracy_is_told_once(
    floor: float, warns: bool, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dgnet_method, "TEACHER_CHECK", 2)
    method = _dgnet(teacher_floor=floor).train()
    said = []
    for iteration in range(3):
        update = RecordedUpdate(method, iteration=iteration)
        figures = method.training_step(make_batch(), update)
        said += update.notes
        assert ("teacher_accuracy" in figures) == (iteration < 2)
    assert len(said) == 1
    assert said[0].startswith("Warning" if warns else "The teacher names")
    assert "of 16 training images" in said[0]


def test_embedding_scores_as_published(make_batch: MakeBatch) -> None:
    """Cosine of the primary halves plus half that of the fine halves, mirror images included."""
    method = _dgnet().eval()
    batch = make_batch()
    with torch.no_grad():
        found = method.embed(batch.images, batch.modality)
        normalised = method.normalize(batch.images)
        halves = []
        for head in (method.primary, method.fine):
            total = torch.zeros(len(batch), 24)
            for view in (normalised, normalised.flip(-1)):
                half = head.embed(method.appearance(view)[1])
                total += half / half.norm(dim=1, keepdim=True)
            halves.append(total / total.norm(dim=1, keepdim=True))
    score = halves[0] @ halves[0].T + 0.5 * halves[1] @ halves[1].T
    torch.testing.assert_close(found @ found.T, score, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["code", "cycle", "primary"])
def test_the_ramp_has_begun_when_one_weight_is_there(name: str) -> None:
    none = dict.fromkeys(("code", "cycle", "primary", "fine", "fine_real"), 0.0)
    assert not RampedWeights(**none).any
    assert RampedWeights(**{**none, name: 1e-6}).any


def test_swap_takes_clothes_from_one_and_the_rest_from_the_other(make_batch: MakeBatch) -> None:
    method = _dgnet().eval()
    first, second, body = make_batch().images[:6:2].unsqueeze(1)
    with torch.no_grad():
        swapped = method.swap(first, body)
        assert swapped.shape == body.shape
        assert swapped.min() >= 0
        assert swapped.max() <= 1
        ends = [method.interpolate(first, second, body, at) for at in (0.0, 1.0)]
        assert torch.equal(ends[0], swapped)
        torch.testing.assert_close(ends[1], method.swap(second, body))
        assert not torch.equal(method.swap(first, second), swapped)


def test_codes_are_one_row_per_image(make_batch: MakeBatch) -> None:
    method = _dgnet().eval()
    batch = make_batch()
    with torch.no_grad():
        codes = method.codes(batch.images, batch.modality)
    assert set(codes) == {"appearance", "structure", "primary", "fine", "teacher"}
    assert all(code.ndim == 2 and len(code) == len(batch) for code in codes.values())


def test_the_appearance_encoder_can_start_from_the_teacher(make_batch: MakeBatch) -> None:
    method = _dgnet(start_from_teacher=True).train()
    with torch.no_grad():
        for parameter in method.teacher.parameters():
            parameter.add_(0.01)
    expected = method.teacher.backbone.state_dict()["network.conv1.0.weight"].clone()
    method.training_step(make_batch(), RoutedUpdate(method))  # moves nothing
    weight = method.appearance.backbone.state_dict()["network.conv1.0.weight"]
    assert torch.equal(weight, expected)
    with torch.no_grad():
        weight.zero_()
    method.training_step(make_batch(), RoutedUpdate(method, iteration=1))
    assert not weight.any(), "only once"
    with pytest.raises(ConfigError, match="start_from_teacher"):
        _dgnet(start_from_teacher=True, teacher_backbone="resnet10-half")


@pytest.mark.parametrize(
    "switch",
    [
        {"code_slices": "stripes"},
        {"different_ids": True},
        {"teacher_statistics": "running", "teacher_dropout": False},
        {"joint_statistics": True},
        {"appearance_code_gradient": True},
    ],
)
def test_every_switch_trains(switch: dict[str, Any], make_batch: MakeBatch) -> None:
    method = _dgnet(**switch).train()
    figures = method.training_step(make_batch(), RecordedUpdate(method, iteration=1100))
    assert all(torch.isfinite(value) for value in figures.values())


def test_each_process_needs_images_enough_in_both_halves() -> None:
    refuse_few_ids(DGNet, "dgnet", 8, processes=2)
    with pytest.raises(ConfigError, match=r"is 6, of which .* on 2 processes; set it to 8 or more"):
        refuse_few_ids(DGNet, "dgnet", 6, processes=2)
