from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import RecordedUpdate, RoutedUpdate, at
from tests.oracles import case_net as oracle
from torch import Tensor, nn

from crosslight.config import build, load_recipe, to_plain
from crosslight.errors import ConfigError
from crosslight.methods.case_net import (
    PRESETS,
    CaseNet,
    CaseNetAsppConfig,
    CaseNetConfig,
    CaseNetReleasedConfig,
)
from crosslight.methods.case_net.config import SWITCHES
from crosslight.methods.case_net.equations import domain_losses
from crosslight.methods.case_net.networks import DomainCritic, reversed_gradient
from crosslight.methods.contract import weighted
from crosslight.methods.dgnet.pairs import swapped
from crosslight.nn.backbones import create_backbone
from crosslight.nn.normalize import to_gray
from crosslight.nn.weights import initial_weights_left_out
from crosslight.types import Modality

SMALL: dict[str, Any] = {**CaseNet.small, "ramp_start": 100, "structure_width": 2}
NUM_IDS = 6
RAMPED = 1100


def _case_net(
    switch: str = "", *, num_ids: int = NUM_IDS, size: tuple[int, int] = (64, 32), **overrides: Any
) -> CaseNet:
    changed = {k.removeprefix("config."): v for k, v in SWITCHES.get(switch, {}).items()}
    config = build(CaseNetConfig, {**SMALL, **changed, **overrides}, where="test")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CaseNet(config, num_ids=num_ids, height=size[0], width=size[1])


class SlopeUpdate(RoutedUpdate):
    """Moves nothing; finds out how long a gradient each loss sends to each network.

    Attributes:
        lengths: Name of a loss → network → length.
    """

    def __init__(self, method: CaseNet, **progress: str | int) -> None:
        super().__init__(method, **progress)
        self.lengths: dict[str, dict[str, float]] = {}

    def __call__(
        self,
        optimizers: str | tuple[str, ...],
        losses: Mapping[str, Tensor],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Walks back from one loss after the other."""
        self.order.append(optimizers)
        named = {n: p for n, p in self.method.named_parameters() if p.requires_grad}
        for loss, value in weighted(losses, weights).items():
            slopes = torch.autograd.grad(
                value, list(named.values()), retain_graph=True, allow_unused=True
            )
            squares: dict[str, float] = {}
            for name, slope in zip(named, slopes, strict=True):
                network = name.partition(".")[0]
                square = 0.0 if slope is None else float(slope.double().square().sum())
                squares[network] = squares.get(network, 0.0) + square
            self.lengths[loss] = {name: math.sqrt(square) for name, square in squares.items()}


WEIGHTS: dict[str, Any] = {
    "critic_width": 2,
    "critic_scales": 2,
    "adain_width": 6,
    "domain_width": 6,
    "recon_weight": 3.0,
    "id_weight": 0.7,
    "generated_id_weight": 0.9,
    "adversarial_weight": 1.3,
    "penalty_weight": 0.02,
    "triplet_weight": 0.6,
    "adversary_weight": 1.6,
    "ramp_step": 0.004,
    "code_weight": 0.8,
    "cycle_weight": 1.7,
    "lr": 3e-4,
    "identity_lr": 0.003,
    "identity_head_lr": 0.007,
    "domain_lr": 0.005,
    "weight_decay": 7e-4,
    "lr_steps": [103, 312],
}
"""No two alike, none a default, so that none can stand for another; and thin networks."""


@pytest.mark.parametrize(
    ("place", "again", "switch"),
    [
        (("joint", 100), True, {}),
        (("joint", 310), False, {"exchange": "coin", "code_slices": "stripes"}),
        (("joint", 310), True, {"shape_encoder": "aspp+body", "detach_colour": False}),
        (("joint", 310), False, {"shape_encoder": "aspp+body", "colour_identity": False}),
        (("joint", 50), False, {**PRESETS["released"], "normalisation": "backbone"}),
        (("identity", 310), True, {"shape_identity": "gray"}),
    ],
)
def test_iterations_agree_with_the_plain_formulation(
    place: tuple[str, int], again: bool, switch: dict[str, Any], make_batch: MakeBatch
) -> None:
    """Losses, gradients, weights and statistics over two iterations, with all that is drawn."""
    changed = {key.removeprefix("config."): value for key, value in switch.items()}
    if changed.get("colour_identity") is False:
        changed["detach_colour"] = False
    chance = {"again_probability": 0.9 if again else 0.1}
    method = scrambled(_case_net(**{**WEIGHTS, **chance, **changed}))
    plain = oracle.PlainStep(method.state_dict(), method.config)
    stage, iteration = place
    places = [at(method, stage=stage, iteration=i) for i in (iteration, iteration + 1)]
    torch.manual_seed(0)
    # So that some of those who meet first are one person, not all.
    batches = [replace(b, labels=b.labels.roll(2)) for b in mirrored(make_batch(ids=3), 2)]
    if method.config.exchange == "coin":
        batches = mirrored(make_batch(ids=3), 2)
    assert_iterations_agree(method, plain, batches, places=places)


def test_a_visible_data_set_trains_too(make_batch: MakeBatch) -> None:
    """The authors' own: everything is visible; and an infrared batch has nothing in colour."""
    batch = make_batch(ids=2)
    for light in Modality:
        method = scrambled(_case_net(**WEIGHTS))
        plain = oracle.PlainStep(method.state_dict(), method.config)
        alone = [
            replace(b, modality=torch.full_like(b.modality, light)) for b in mirrored(batch, 1)
        ]
        if light == Modality.VISIBLE:
            torch.manual_seed(0)
            place = at(method, iteration=310)
            assert_iterations_agree(method, plain, alone, places=[place])
        else:
            figures = method.training_step(alone[0], RoutedUpdate(method, iteration=310))
            assert all(torch.isfinite(figure) for figure in figures.values())
            assert figures["loss_domain_colour"] == figures["loss_id_shape_in_colour"] == 0


DRAWING = {"structure", "adain", "decoder"}
COLOUR = {"appearance", "colour_head"}
SHAPE = {"structure", "shape_head"}
ROUTES = {
    # loss: the networks that it trains when a coin says "again", and when it says "copy"
    "loss_recon_same_image": (DRAWING, DRAWING),
    "loss_recon_same_id": (DRAWING, DRAWING),
    "loss_adversarial": (DRAWING, DRAWING),
    "loss_id_shape": (SHAPE, SHAPE),
    "loss_id_partner_shape": (SHAPE, SHAPE),
    "loss_id_shape_in_colour": (SHAPE, SHAPE),
    "loss_id_colour": (COLOUR, COLOUR),
    "loss_id_partner_colour": (COLOUR, COLOUR),
    "loss_triplet": ({"structure"}, {"structure"}),
    "loss_triplet_partner": ({"structure"}, {"structure"}),
    "loss_domain_colour": ({"structure", "domain"}, {"structure", "domain"}),
    "loss_domain_gray": ({"structure", "domain"}, {"structure", "domain"}),
    "loss_id_generated_shape": (SHAPE, {*DRAWING, "shape_head"}),
    "loss_id_generated_colour": (DRAWING, DRAWING),
    "loss_recon_shape": ({"structure"}, DRAWING),
    "loss_recon_colour": (DRAWING, DRAWING),
    "loss_cycle": (DRAWING, DRAWING),
    "loss_critic": ({"critic"}, {"critic"}),
    "loss_penalty": ({"critic"}, {"critic"}),
}
TOGETHER = ("generator", "identity", "domain")


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("switch", ["", "aspp", "attached-colour"])
def test_each_loss_trains_its_networks_and_no_other(
    switch: str, again: bool, make_batch: MakeBatch
) -> None:
    method = _case_net(switch, again_probability=float(again)).train()
    update = RoutedUpdate(method, iteration=RAMPED)
    with torch.no_grad():
        # Behind a start of which little is seen, what reaches it is lost in rounding.
        for parameter in method.critic.parameters():
            parameter.mul_(5)
    method.training_step(make_batch(ids=2), update)
    assert update.order == [TOGETHER, "critic"]
    expected = {loss: sides[0 if again else 1] for loss, sides in ROUTES.items()}
    if switch == "aspp":
        for loss, networks in expected.items():
            if ("_id_" in loss and "shape" in loss) or "triplet" in loss:
                expected[loss] = {*networks, "body"}
        expected["loss_id_generated_shape"] = (
            {*SHAPE, "body"} if again else {*DRAWING, "shape_head"}
        )
    if switch == "attached-colour":
        drawn = ("loss_recon_same_image", "loss_recon_same_id", "loss_adversarial", "loss_cycle")
        if not again:
            drawn += ("loss_id_generated_shape", "loss_recon_shape")
        for loss in (*drawn, "loss_id_generated_colour", "loss_recon_colour"):
            expected[loss] = {*expected[loss], "appearance"}
        # The colour of the cycle is cut off; the image whose shape is taken again is not.
        if again:
            expected["loss_cycle"] = DRAWING
    assert update.routes == expected


def test_nothing_is_drawn_in_the_first_stage(make_batch: MakeBatch) -> None:
    method = _case_net(identity_iterations=7).train()
    assert [(s.name, s.iterations) for s in method.stages()] == [("identity", 7), ("joint", 4)]
    update = RecordedUpdate(method, stage="identity", iteration=RAMPED)
    method.training_step(make_batch(ids=2), update)
    assert update.order == [TOGETHER]
    assert set().union(*({name.partition(".")[0]} for name in update.gradients)) == {
        *("structure", "shape_head", "appearance", "colour_head", "domain")
    }
    assert not method.light_counts.any()
    for scheduled in method.optimizers().values():
        steep = replace(update.progress, iteration=240_000)
        assert scheduled.factor(steep) == 1
        assert scheduled.factor(replace(steep, stage="joint")) == pytest.approx(0.01)


# What the release cannot learn.


def _identity_over_reconstruction(method: CaseNet, batch: Any) -> tuple[float, float, float]:
    """Gradients at the shape encoder, as parts of the reconstruction's."""
    update = SlopeUpdate(method, iteration=50)
    method.double().train().training_step(replace(batch, images=batch.images.double()), update)
    own = {loss: found["structure"] for loss, found in update.lengths.items()}
    of = own["loss_recon_same_image"]
    return own["loss_id_shape"] / of, own["loss_triplet"] / of, own["loss_domain_gray"] / of


def test_the_release_cannot_teach_its_shape_who_somebody_is(make_batch: MakeBatch) -> None:
    """Its code is instance-normalised last and averaged: zeros, whatever is seen."""
    method, batch = _case_net("released"), make_batch(ids=2)
    with torch.no_grad():
        pooled = method.structure_code(batch.images).mean(dim=(2, 3))
    assert pooled.abs().max() < 1e-6
    identity, triplet, domain = _identity_over_reconstruction(method, batch)
    assert identity < 1e-6
    assert triplet < 1e-6
    assert domain > 1e-4, "the adversary does reach it"
    figures = method.training_step(
        replace(batch, images=batch.images.double()), RoutedUpdate(method, iteration=50)
    )
    for loss in ("loss_triplet", "loss_triplet_partner"):
        assert figures[loss].item() == pytest.approx(math.log(2), abs=1e-6)
    # Its table of weights is built anew in every iteration, and asked before it is filled.
    assert not {"loss_recon_shape", "loss_recon_colour", "loss_cycle"} & set(figures)


@pytest.mark.parametrize("switch", ["", "aspp"])
def test_here_identity_reaches_the_shape(switch: str, make_batch: MakeBatch) -> None:
    identity, triplet, _ = _identity_over_reconstruction(_case_net(switch), make_batch(ids=2))
    assert identity > 1e-3
    assert triplet > 1e-3


def test_presets_are_what_their_methods_begin_with() -> None:
    for name, preset in (("released", CaseNetReleasedConfig), ("aspp", CaseNetAsppConfig)):
        changes = {key.removeprefix("config."): value for key, value in PRESETS[name].items()}
        wanted = build(CaseNetConfig, changes, where="test")
        assert to_plain(preset()) == to_plain(wanted)


def test_published_settings_are_kept_in_the_recipes() -> None:
    for name in ("case-net-sysu-mm01", "case-net-aspp-sysu-mm01", "case-net-released-market1501"):
        run = load_recipe(name)
        assert (run.data.height, run.data.width) == (256, 128), name
        assert run.config.iterations == 250_000
        rates = run.config.identity_lr, run.config.identity_head_lr, run.config.domain_lr
        assert (run.config.lr, *rates) == (1e-4, 0.002, 0.02, 5e-4)
        assert (run.config.normalisation, run.data.augmentation.flip) == ("half", 0.5)
        assert (run.data.interpolation, run.data.augmentation.erasing) == ("bilinear", 0)
    assert load_recipe("case-net-sysu-mm01").data.train_splits == ("train", "val")
    released = load_recipe("case-net-released-market1501")
    assert (released.data.sampling, released.data.ids_per_batch) == ("pairs", 8)
    assert released.config == CaseNetReleasedConfig()


# Gray against colour.


def test_the_reversed_gradient_turns_encoder_and_critic_against_each_other() -> None:
    torch.manual_seed(0)
    critic = DomainCritic(4, 6).double()
    code = torch.randn(2, 4, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.equal(reversed_gradient(code), code)
    loss = domain_losses(critic, code, code.detach())["loss_domain_colour"]
    straight = nn.functional.softplus(critic(code)).mean()
    torch.testing.assert_close(loss, straight)
    there = torch.autograd.grad(loss, [code, *critic.parameters()])
    plain = torch.autograd.grad(straight, [code, *critic.parameters()])
    torch.testing.assert_close(there[0], -plain[0])
    for own, other in zip(there[1:], plain[1:], strict=True):
        torch.testing.assert_close(own, other)


def test_a_blind_domain_critic_costs_2_ln_2(make_batch: MakeBatch) -> None:
    method = _case_net().train()
    last = method.domain.layers[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
    figures = method.training_step(make_batch(ids=2), RoutedUpdate(method))
    total = figures["loss_domain_colour"] + figures["loss_domain_gray"]
    assert total.item() == pytest.approx(2 * math.log(2))


def test_gray_of_gray_is_gray_and_infrared_has_no_colour(make_batch: MakeBatch) -> None:
    batch, method = make_batch(), _case_net().eval()
    gray = to_gray(batch.images).expand(-1, 3, -1, -1)
    assert torch.equal(to_gray(gray), gray[:, :1])
    infrared = batch.modality == Modality.INFRARED
    with torch.no_grad():
        own, coloured = (method.structure_code(batch.images, gray=g) for g in (True, False))
    assert torch.equal(own[infrared], coloured[infrared])
    assert not torch.allclose(own[~infrared], coloured[~infrared])


def test_people_are_matched_in_gray_unless_told_otherwise(make_batch: MakeBatch) -> None:
    batch = make_batch()
    gray = to_gray(batch.images).expand(-1, 3, -1, -1)
    for switch, alike in (("", True), ("embed-colour", False)):
        method = _case_net(switch).eval()
        with torch.no_grad():
            first, second = (method.embed(x, batch.modality) for x in (batch.images, gray))
        assert torch.equal(first, second) == alike


@pytest.mark.parametrize("exchange", ["as-sampled", "coin"])
def test_different_people_exchange_codes(exchange: str, make_batch: MakeBatch) -> None:
    method = _case_net(exchange=exchange)
    torch.manual_seed(0)
    lights = set()
    for _ in range(8):
        scenes = method._scenes(make_batch())
        assert (scenes.labels != swapped(scenes.labels)).all()
        lights.add(bool((scenes.modality != swapped(scenes.modality)).all()))
    assert lights == ({True, False} if exchange == "coin" else {True})


# Networks at the published size, and their start.

MILLIONS = {
    "released": {
        "structure": 0.381,
        "shape_head": 0.051,
        "adain": 11.54,
        "decoder": 1.456,
        "domain": 0.739,
    },
    "": {
        "structure": 21.28,
        "shape_head": 0.204,
        "adain": 14.70,
        "decoder": 23.25,
        "domain": 1.62,
    },
}


@pytest.mark.parametrize("switch", MILLIONS)
def test_parameters_at_the_published_size(switch: str) -> None:
    changed = {k.removeprefix("config."): v for k, v in SWITCHES.get(switch, {}).items()}
    config = build(CaseNetConfig, changed, where="test")
    with torch.device("meta"), initial_weights_left_out():
        method = CaseNet(config, num_ids=395, height=256, width=128)
    found = {
        name: sum(p.numel() for p in network.parameters()) / 1e6
        for name, network in method.named_children()
    }
    assert found["appearance"] + found["colour_head"] == pytest.approx(24.32, abs=0.005)
    assert found["critic"] == pytest.approx(1.026, abs=0.0005)
    for name, millions in MILLIONS[switch].items():
        assert found[name] == pytest.approx(millions, rel=0.005), name


def test_losses_begin_where_they_should(make_batch: MakeBatch) -> None:
    method = _case_net("released", num_ids=395).train()
    figures = method.training_step(make_batch(ids=2), RoutedUpdate(method, iteration=50))
    assert figures["loss_adversarial"].item() == pytest.approx(12.0, abs=0.05)
    assert figures["loss_critic"].item() == pytest.approx(6.0, abs=0.05)
    for loss in ("loss_domain_colour", "loss_domain_gray"):
        assert figures[loss].item() == pytest.approx(math.log(2), abs=0.1)
    for loss in ("loss_id_shape", "loss_id_partner_shape", "loss_id_generated_shape"):
        assert figures[loss].item() == pytest.approx(2 * math.log(395), abs=0.5)


def test_a_resnet_keeps_its_start_and_the_rest_is_drawn_anew() -> None:
    shipped = {"shape_backbone": "resnet18-half", "shape_weights": "promenade"}
    method = _case_net(**shipped)
    expected = create_backbone("resnet18-half", weights="promenade").state_dict()
    for name, value in method.structure.state_dict().items():
        assert torch.equal(value, expected[name]), name
    first = method.adain.scale[0][0].weight
    assert first.std().item() == pytest.approx((2 / first.shape[1]) ** 0.5, rel=0.1)
    second = _case_net("released").structure.layers[1].conv.weight
    assert second.std().item() == pytest.approx((2 / second[0].numel()) ** 0.5, rel=0.3)


# What it offers.


def test_codes_and_drawings(make_batch: MakeBatch) -> None:
    batch = make_batch(ids=2)
    for switch, length in (("", 128), ("aspp", 128), ("released", 16 * 8 * 4)):
        method = _case_net(switch).train()
        method.training_step(batch, RecordedUpdate(method))
        method.eval()
        with torch.no_grad():
            codes = method.codes(batch.images, batch.modality)
            assert set(codes) == {"shape", "colour"}
            assert codes["shape"].shape == (len(batch), length)
            assert codes["colour"].shape == (len(batch), 4 * 128)
            assert codes["shape"].std(dim=0).max() > 1e-3, "never the mean of an aspp code"
            drawn = method.swap(batch.images[:2], batch.images[-2:])
            assert drawn.shape == (2, 3, 64, 32)
            seen = method.translate(batch.images[-2:], Modality.INFRARED, Modality.VISIBLE)
            dark = method.translate(batch.images[:2], Modality.VISIBLE, Modality.INFRARED)
            maps = method.structure_maps(batch.images)
        assert maps.shape[2:] == ((4, 2) if not switch else (16, 8))
        assert seen.shape == dark.shape == drawn.shape
        assert not torch.allclose(seen[:, 0], seen[:, 1])
        assert torch.equal(dark[:, 0], dark[:, 1])


def test_a_translation_borrows_the_mean_colour_of_the_other_light(make_batch: MakeBatch) -> None:
    batch = make_batch(ids=2)
    method = _case_net().train()
    visible = replace(batch, modality=torch.zeros_like(batch.modality))
    method.training_step(visible, RecordedUpdate(method))
    assert method.light_counts.tolist() == [1, 0]
    method.eval()
    with torch.no_grad():
        with pytest.raises(ConfigError, match="swap") as refused:
            method.translate(batch.images, Modality.VISIBLE, Modality.INFRARED)
        assert "infrared images" in str(refused.value)
        # As the sentence says.
        assert method.swap(batch.images[-2:], batch.images[:2]).shape == (2, 3, 64, 32)
        with pytest.raises(ConfigError, match="both visible; name the other light"):
            method.translate(batch.images, Modality.VISIBLE, Modality.VISIBLE)
        colour = method.light_colours[0]
        drawn = method.decoder(
            method.structure_code(batch.images[-2:]), method.adain(colour.expand(2, -1, -1))
        )
        found = method.translate(batch.images[-2:], Modality.INFRARED, Modality.VISIBLE)
    torch.testing.assert_close(found, method.pixels(drawn))


def test_what_is_drawn_leaves_no_trace_in_statistics(make_batch: MakeBatch) -> None:
    batch = make_batch(ids=2)
    for again in (0.0, 1.0):
        method = _case_net("aspp", again_probability=again).train()
        method.training_step(batch, RecordedUpdate(method, iteration=RAMPED))
        counts = {n: int(v) for n, v in method.state_dict().items() if "num_batches" in n}
        assert set(counts.values()) == {1}
        assert {name.partition(".")[0] for name in counts} == {
            *("appearance", "body", "colour_head", "shape_head")
        }


# Switches, and what is refused.


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_trains_and_every_loss_that_counts_has_a_gradient(
    switch: str, make_batch: MakeBatch
) -> None:
    # As its sentence asks where nothing would train the colour encoder.
    started = {"detach_colour": False} if switch == "without-colour-identity" else {}
    method = _case_net(switch, **started).train()
    batch, update = make_batch(ids=2), RecordedUpdate(method, iteration=RAMPED)
    method.training_step(batch, update)
    slopes = SlopeUpdate(method, iteration=RAMPED)
    figures = method.training_step(batch, slopes)
    assert all(torch.isfinite(value) for value in figures.values())
    for loss, value in update.weighted.items():
        if method.config.shape_encoder == "aspp" and "triplet" in loss:
            continue  # Of zeros; what is left of its gradient is rounding.
        assert (max(slopes.lengths[loss].values()) > 0) == (value > 0), loss
    judged_by_colour = {"loss_id_colour", "loss_id_partner_colour", "loss_id_generated_colour"}
    assert judged_by_colour.isdisjoint(figures) == (switch == "without-colour-identity")


def test_an_encoder_that_nothing_trains_stays_as_it_starts(make_batch: MakeBatch) -> None:
    changed = {"colour_identity": False, "backbone": "resnet18-half", "weights": "promenade"}
    method = _case_net(**changed).train()
    before = copy.deepcopy(method.appearance)
    method.training_step(make_batch(ids=2), RecordedUpdate(method, iteration=RAMPED))
    for own, old in zip(method.appearance.parameters(), before.parameters(), strict=True):
        assert torch.equal(own, old)


@pytest.mark.parametrize(
    ("wrong", "size", "sentence", "remedy"),
    [
        ({}, (72, 32), "multiples of 16 from 32 on", {"size": (64, 32)}),
        ({"critic_scales": 5}, (64, 32), "config.critic_scales", {"critic_scales": 3}),
        (
            {"shape_encoder": "aspp", "dilations": (3, 6, 9)},
            (64, 32),
            "CASE-Net cannot take images of 64 x 32",
            {"dilations": (1, 2, 3)},
        ),
        (
            {"shape_backbone": "convnext_atto", "shape_weights": "none"},
            (64, 32),
            "give config.shape_backbone a ResNet",
            {"shape_backbone": "resnet10-half"},
        ),
        (
            {"colour_identity": False},
            (64, 32),
            "set config.detach_colour to false",
            {"detach_colour": False},
        ),
    ],
)
def test_contradictions_are_refused_in_a_sentence_that_helps(
    wrong: dict[str, Any], size: tuple[int, int], sentence: str, remedy: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        _case_net(size=size, **wrong)
    assert _case_net(**{"size": size, **wrong, **remedy})


def test_partners_share_a_light(make_batch: MakeBatch) -> None:
    batch = make_batch(per_modality=1)
    mixed = replace(batch, modality=torch.tensor([0, 1]).repeat(4))
    with pytest.raises(ConfigError, match="light-pairs"):
        _case_net().train().training_step(mixed, RoutedUpdate(_case_net()))
