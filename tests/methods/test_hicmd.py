from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import RecordedUpdate, RoutedUpdate, at
from tests.oracles import hicmd as oracle
from torch import nn

from crosslight.config import load_recipe
from crosslight.data.batch import Batch
from crosslight.errors import ConfigError
from crosslight.methods.contract import (
    Disentangles,
    Interpolates,
    MapsStructure,
    Swaps,
    Translates,
)
from crosslight.methods.hicmd import HiCMD, HiCMDConfig, equations
from crosslight.methods.hicmd.method import PARTS
from crosslight.methods.hicmd.networks import (
    excluded_of,
    illumination_of,
    joined,
    pose_of,
    style_of,
)
from crosslight.methods.hicmd.pairs import taken_apart
from crosslight.nn.weights import initial_weights_left_out

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    **HiCMD.small,
    "structure_width": 2,
    "critic_width": 2,
    "critic_scales": 1,
}


@pytest.fixture(scope="module")
def batch(make_batch: MakeBatch) -> Batch:
    """Two pairs, and three people of whom two lend an image in each light."""
    return make_batch(ids=5, per_modality=1, height=32)


def _hicmd(**overrides: Any) -> HiCMD:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = HiCMDConfig(**{**SMALL, **overrides})
        return HiCMD(config, num_ids=6, height=32, width=32)


WEIGHTS: dict[str, Any] = {
    "structure_width": 2,
    "critic_width": 2,
    "critic_scales": 3,
    "slope": 0.25,
    "dim": 24,
    "triplet_dim": 12,
    "dropout": 0.3,
    "share": 0.6,
    "lr": 3e-5,
    "identity_lr": 0.003,
    "share_lr": 0.02,
    "lr_steps": (7, 15),
    "weight_decay": 7e-4,
    "erasing": 0.7,
    "erasing_area": (0.05, 0.3),
    "self_weight": 30.0,
    "cross_weight": 40.0,
    "cycle_weight": 25.0,
    "code_weight": 8.0,
    "excluded_weight": 0.6,
    "adversarial_weight": 15.0,
    "illumination_weight": 11.0,
    "penalty_weight": 0.02,
    "id_weight": 0.9,
    "triplet_weight": 0.7,
    "margin": 0.4,
}
"""No two alike, none a default, so that none can stand for another; and thin networks.

Adam's first steps magnify what rounding leaves of gradients near 0; its rate is small for that.
"""


@pytest.mark.parametrize(
    ("stage", "iteration", "switch"),
    [
        ("joint", 6, {}),
        (
            "joint",
            15,
            {
                "self_style": "own",
                "joint_statistics": True,
                "structure_width": 3,
                "without_rows": ("drawn-visible", "negative-infrared", "mixed-infrared"),
                "gray": True,
                "share": 1.2,
            },
        ),
        ("identity", 6, {}),
    ],
)
def test_iterations_agree_with_the_plain_formulation(
    stage: str, iteration: int, switch: dict[str, Any], batch: Batch
) -> None:
    """Losses, gradients, weights and statistics over two iterations, with all that is drawn."""
    method = scrambled(_hicmd(**{**WEIGHTS, **switch}))
    plain = oracle.PlainHiCMD(method.state_dict(), method.config)
    places = [at(method, stage=stage, iteration=i) for i in (iteration, iteration + 1)]
    torch.manual_seed(0)
    batches = mirrored(batch, 2)
    assert_iterations_agree(method, plain, batches, places=places, rounding=1e-8)


def test_codes_agree_with_the_plain_formulation(batch: Batch) -> None:
    method = scrambled(_hicmd(**WEIGHTS)).eval()
    images = batch.images.double()
    expected = oracle.PlainHiCMD(method.state_dict(), method.config).embed(images, batch.modality)
    with torch.no_grad():
        found = method.codes(images, batch.modality)
        assert torch.equal(found["identity"], method.embed(images, batch.modality))
    assert list(found) == list(expected)
    for name, code in expected.items():
        torch.testing.assert_close(found[name], code, rtol=1e-9, atol=1e-9, msg=name)


DRAWS = {"prototype", "attribute", "adain", "decoder"}
KNOWS = {"prototype", "attribute", "vector", "head", "share"}
ROUTES = {
    "loss_critic": {"critics"},
    "loss_critic_illumination": {"critics"},
    "loss_penalty": {"critics"},
    "loss_recon_self": DRAWS,
    "loss_recon_cross": DRAWS,
    "loss_cycle": DRAWS,
    "loss_code": DRAWS,
    "loss_excluded": {"attribute"},
    "loss_adversarial": DRAWS,
    "loss_adversarial_illumination": DRAWS,
    "loss_id": KNOWS,
    "loss_triplet": KNOWS | {"metric"},
}


def test_each_loss_trains_the_networks_of_the_description(batch: Batch) -> None:
    method = scrambled(_hicmd()).float()
    update = RoutedUpdate(method)
    method.training_step(batch, update)
    assert update.routes == ROUTES
    assert update.order == ["critic", ("generator", "identity")]
    # Both lights' networks, and of the attribute encoder all of it.
    for loss, networks in ROUTES.items():
        for network in networks & {"prototype", "attribute"}:
            for light in (0, 1):
                assert any(
                    n.startswith(f"{network}.networks.{light}.") for n in update.reached[loss]
                ), loss
    update = RoutedUpdate(method, stage="identity")
    method.training_step(batch, update)
    assert update.routes == {name: ROUTES[name] for name in ("loss_id", "loss_triplet")}
    assert update.order == [("generator", "identity")]


def test_published_sizes() -> None:
    """Parameters of each network as counted in the authors' own; the rest of a ResNet is unused."""
    with torch.device("meta"), initial_weights_left_out():
        method = HiCMD(HiCMDConfig(), num_ids=296, height=256, width=128)

    def count(network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    assert round(count(method.prototype.networks[0]) / 1e6, 3) == 1.520
    assert count(method.attribute.networks[1]) == 23_508_032
    assert count(method.adain) == 6_303_744
    assert round(count(method.decoder) / 1e6, 2) == 5.82
    assert round(count(method.critics[0]) / 1e6, 3) == 1.026
    assert round(count(method.vector) / 1e6, 2) == 8.32
    assert round((count(method.head) + count(method.metric)) / 1e6, 2) == 6.91
    # With three fully connected layers, and the stem and layers 1 and 4 beside the prototype's.
    unused = 2 * 2_049_000 + 25_557_032 - count(method.vector)
    assert round((count(method) + unused) / 1e6, 1) == 100.8
    image = torch.empty(1, 3, 256, 128, device="meta")
    attribute = method.attribute.networks[0](image)
    assert attribute.shape == (1, 4, 512)
    parts = (style_of, pose_of, illumination_of)
    assert [part(attribute).numel() for part in parts] == [1024, 512, 512]
    prototype = torch.empty(1, method.prototype.networks[0].channels, 64, 32, device="meta")
    assert method.vector.layers(prototype).shape == (1, 1024, 16, 8)
    assert method.head.linear.weight.shape == (2048, 2048)
    assert method.metric.weight.shape == (1024, 2048)


def test_every_light_starts_from_the_same_weights() -> None:
    method = _hicmd()
    for pair in (method.prototype.networks, method.attribute.networks, method.critics):
        first, second = (network.state_dict() for network in pair)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert not {id(p) for p in pair[0].parameters()} & {id(p) for p in pair[1].parameters()}


def test_losses_start_where_the_authors_do(batch: Batch) -> None:
    """Critics that know nothing say 0 of everything; a classifier that knows nobody, ln K."""
    method = _hicmd(critic_scales=3, dropout=0.0).train()
    update = RecordedUpdate(method)
    method.training_step(batch, update)
    start = update.losses
    for name in ("loss_critic", "loss_critic_illumination"):
        assert start[name] == pytest.approx(6, abs=1e-3)
    assert update.weighted["loss_critic"] + update.weighted["loss_critic_illumination"] == (
        pytest.approx(240, abs=0.1)
    )
    for name in ("loss_adversarial", "loss_adversarial_illumination"):
        assert update.weighted[name] == pytest.approx(120, abs=0.1)
    assert start["loss_id"] == pytest.approx(math.log(6), abs=0.05)


def test_the_same_picture_in_both_lights_is_drawn_alike_by_all_ways(batch: Batch) -> None:
    """At the start, where the lights' encoders are still the same."""
    method = _hicmd().eval()
    images = method.normalize(batch.images[:2])
    codes = method._encode((images, images))
    drawn = method._draw(codes)
    for kind in ("cross", "relit"):
        for light in (0, 1):
            assert torch.equal(drawn[kind][light], drawn["self"][light])
    assert torch.equal(drawn["cross"][0], drawn["cross"][1])


def test_the_attribute_is_cut_within_each_block() -> None:
    numbers = torch.arange(2048).view(1, 4, 512)
    flat = torch.arange(2048).view(4, 512)
    assert style_of(numbers)[0].equal(flat[:, :256])
    assert pose_of(numbers)[0].equal(flat[:, 256:384])
    assert illumination_of(numbers)[0].equal(flat[:, 384:])
    assert excluded_of(numbers)[0].equal(flat[:, 256:])
    assert joined(style_of(numbers), pose_of(numbers), illumination_of(numbers)).equal(numbers)


def test_exchanging_styles_twice_changes_nothing() -> None:
    a, b = torch.randn(2, 3, 4, 16, generator=torch.Generator().manual_seed(0))
    once = equations.exchanged((a, b))
    assert style_of(once[0]).equal(style_of(b))
    assert excluded_of(once[0]).equal(excluded_of(a))
    assert all(x.equal(y) for x, y in zip(equations.exchanged(once), (a, b), strict=True))
    relit = equations.relit((a, b))
    assert illumination_of(relit[0]).equal(illumination_of(a))
    assert pose_of(relit[0]).equal(pose_of(b))
    assert style_of(relit[0]).equal(style_of(b))


@pytest.mark.parametrize(("w", "factors"), [(0.5, (0.5, 0.5)), (0.0, (0, 1)), (1.2, (1, 0))])
def test_the_share_weighs_prototype_and_style(w: float, factors: tuple[float, float]) -> None:
    draws = torch.Generator().manual_seed(0)
    prototype, style = torch.randn(3, 5, generator=draws), torch.randn(3, 4, 2, generator=draws)
    share = torch.tensor(w, requires_grad=True)
    v = equations.matching_vector(prototype, style, share)
    lengths = torch.stack([v[:, :5].norm(dim=1), v[:, 5:].norm(dim=1)])
    torch.testing.assert_close(lengths, torch.tensor(factors)[:, None].expand(2, 3).float())
    (slope,) = torch.autograd.grad((v * torch.arange(13)).sum(), share)
    # Above 1 it is stuck: both factors are constants.
    assert (slope == 0) == (w > 1)


def test_the_triplet_agrees_with_one_anchor_at_a_time() -> None:
    draws = torch.Generator().manual_seed(3)
    features = torch.randn(9, 5, dtype=torch.float64, generator=draws)
    labels = torch.tensor([0, 1, 0, 2, 2, 1, 0, 3, 1])
    anchors = torch.tensor([0, 1, 4, 6, 7])
    chosen = torch.zeros(9, dtype=torch.bool).index_fill(0, anchors, value=True)
    for margin in (0.5, 2.5):
        results = []
        for loss in (
            lambda f, m=margin: equations.loss_triplet(f, labels, chosen, margin=m),
            lambda f, m=margin: oracle.triplet(list(f), labels.tolist(), anchors.tolist(), m),
        ):
            leaf = features.clone().requires_grad_()
            value = loss(leaf)
            results.append((value.detach(), *torch.autograd.grad(value, leaf)))
        torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


def test_rows_of_the_identity_losses() -> None:
    """20 of two pairs and two negatives in each light: a, b, x_ba, x_ab, negatives, mixtures."""
    rows = equations.identity_rows(2, (2, 2), without=(), device=CPU)
    a, b, x_ba, x_ab = [0, 1], [2, 3], [4, 5], [6, 7]
    straight = [*a, *b, *x_ba, *x_ab, 8, 9, 10, 11]
    assert rows.prototype.tolist() == [*straight, *a, *x_ba, *b, *x_ab]
    assert rows.style.tolist() == [*straight, *x_ba, *a, *x_ab, *b]
    assert rows.negative.tolist() == [False] * 8 + [True] * 4 + [False] * 8
    lights = [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]
    assert rows.infrared.int().tolist() == lights


@pytest.mark.parametrize(
    "name",
    [
        "drawn-visible",
        "drawn-infrared",
        "negative-visible",
        "negative-infrared",
        "mixed-visible",
        "mixed-infrared",
    ],
)
def test_rows_can_be_left_out_one_by_one(name: Any) -> None:
    whole = equations.identity_rows(2, (1, 3), without=(), device=CPU)
    rows = equations.identity_rows(2, (1, 3), without=(name,), device=CPU)
    gone = {"drawn": 2, "mixed": 4}.get(name.partition("-")[0])
    gone = gone or {"negative-visible": 1, "negative-infrared": 3}[name]
    assert len(rows.prototype) == len(whole.prototype) - gone


@pytest.mark.parametrize(
    ("people", "share", "pairs", "negatives"),
    [
        (6, 1 / 3, [0, 1], ([2, 3], [4, 5])),
        (5, 1 / 3, [0, 1], ([2, 3], [3, 4])),
        (2, 1 / 3, [0], ([1], [1])),
        (4, 1.0, [0, 1, 2, 3], ([], [])),
        (9, 1 / 3, [0, 1, 2], ([3, 4, 5], [6, 7, 8])),
        # A little more than 7 in floating point.
        (25, 0.28, list(range(7)), (list(range(7, 16)), list(range(16, 25)))),
    ],
)
def test_a_batch_is_taken_apart(
    people: int, share: float, pairs: list[int], negatives: tuple[list[int], list[int]]
) -> None:
    labels = torch.arange(people).repeat(2)
    modality = torch.arange(2).repeat_interleave(people)
    rows = taken_apart(labels, modality, pair_share=share)
    for light in (0, 1):
        for found, wanted in ((rows.pairs, pairs), (rows.negatives, negatives[light])):
            assert labels[found[light]].tolist() == wanted
            assert (modality[found[light]] == light).all()


def test_uneven_images_of_a_person_make_as_many_pairs_as_there_are_of_fewer() -> None:
    labels = torch.tensor([0, 0, 0, 1, 0, 1, 1])
    modality = torch.tensor([0, 0, 0, 0, 1, 1, 1])
    rows = taken_apart(labels, modality, pair_share=1.0)
    assert [side.tolist() for side in rows.pairs] == [[0, 3], [4, 5]]


def test_the_real_images_count_twice_in_the_penalty() -> None:
    weights = equations.loss_weights(HiCMDConfig())
    assert weights["loss_penalty"] == pytest.approx(0.01 * (20 + 20))
    assert weights["loss_critic"] == weights["loss_critic_illumination"] == 20


def test_only_the_named_parts_change(batch: Batch) -> None:
    method = _hicmd().eval()
    kept, taken = batch.images[:2], batch.images[-2:]
    with torch.no_grad():
        own, other = method._parts(kept), method._parts(taken)
        drawn = {name: method.exchange(taken, kept, (name,)) for name in PARTS}
        itself = method.exchange(kept, kept, PARTS)
        for name in PARTS:
            expected = method._drawn({**own, name: other[name]})
            assert torch.equal(drawn[name], expected)
            assert not torch.allclose(drawn[name], itself, atol=1e-3)
        assert torch.equal(method.swap(taken, kept), drawn["style"])
        assert torch.equal(method.exchange(taken, kept, ()), itself)
        assert torch.equal(method.exchange(taken, kept, PARTS), method.exchange(taken, taken, ()))
        ends = [method.interpolate(kept, taken, kept, fraction) for fraction in (0.0, 1.0)]
    assert torch.equal(ends[0], itself)
    torch.testing.assert_close(ends[1], drawn["style"])
    with pytest.raises(ConfigError, match="no part 'hat' to exchange; name prototype, style"):
        method.exchange(taken, kept, ("hat",))


def test_translation_takes_the_mean_illumination_of_the_other_light(batch: Batch) -> None:
    method = _hicmd(joint_statistics=True).train()
    update = RecordedUpdate(method)
    assert not method.illumination_running_mean.any()
    method.training_step(batch, update)
    assert all(mean.any() for mean in method.illumination_running_mean)
    method.eval()
    images = batch.images[:2]
    with torch.no_grad():
        parts = method._parts(images)
        mean = method.illumination_running_mean[1].expand_as(parts["illumination"])
        expected = method._drawn({**parts, "illumination": mean})
        assert torch.equal(method.translate(images, 0, 1), expected)
    with pytest.raises(ConfigError, match="both visible; name the other light"):
        method.translate(images, 0, 0)


def test_matching_by_both_views_does_not_know_left_from_right(batch: Batch) -> None:
    for flip_test in (False, True):
        method = _hicmd(flip_test=flip_test).eval()
        with torch.no_grad():
            views = [method.embed(x, batch.modality) for x in (batch.images, batch.images.flip(-1))]
        assert torch.allclose(*views, atol=1e-5) == flip_test


def test_it_offers_everything_that_can_be_drawn() -> None:
    method = _hicmd()
    for offer in (Swaps, Interpolates, MapsStructure, Translates, Disentangles):
        assert isinstance(method, offer)


def _switched(switch: str) -> HiCMD:
    changed = {
        key.removeprefix("config."): tuple(value) if isinstance(value, list) else value
        for key, value in HiCMD.switches[switch].items()
        if key.startswith("config.")
    }
    return scrambled(_hicmd(**changed)).float()


@pytest.mark.parametrize(
    "switch",
    ["own-style", "without-cycle", "without-illumination", "style-alone", "prototype-alone"],
)
def test_with_what_changes_the_graph_no_loss_is_dead(switch: str, batch: Batch) -> None:
    method = _switched(switch)
    update = RoutedUpdate(method)
    method.training_step(batch, update)
    weights = equations.loss_weights(method.config)
    assert set(update.reached) == {name for name, weight in weights.items() if weight}
    assert all(update.reached.values())


@pytest.mark.parametrize(
    "switch",
    [
        *("without-cross", "without-code", "without-excluded", "without-negative-visible"),
        *("gray", "without-erasing", "joint-statistics"),
    ],
)
def test_every_other_switch_trains_what_it_leaves(switch: str, batch: Batch) -> None:
    method = _switched(switch)
    update = RecordedUpdate(method)
    method.training_step(batch, update)
    weights = equations.loss_weights(method.config)
    assert set(update.losses) == {name for name, weight in weights.items() if weight}
    assert all(math.isfinite(loss) and loss > 0 for loss in update.losses.values())
    assert all(p.isfinite().all() for p in method.parameters())


@pytest.mark.parametrize("switch", HiCMD.switches)
def test_every_switch_changes_a_recipe(switch: str) -> None:
    changes = [f"{key}={value}" for key, value in HiCMD.switches[switch].items()]
    names = ("hicmd-sysu-mm01", "hicmd-promenade")
    changed = [name for name in names if load_recipe(name, changes) != load_recipe(name)]
    assert changed


def test_a_share_that_is_fixed_does_not_move(batch: Batch) -> None:
    method = _hicmd(share=0.3, learn_share=False, share_lr=0.5).train()
    update = RecordedUpdate(method)
    method.training_step(batch, update)
    assert method.share.item() == pytest.approx(0.3)
    assert "share" not in update.gradients


@pytest.mark.parametrize(
    ("changed", "size", "sentence"),
    [
        ({}, (32, 30), "Hi-CMD cannot take images of 32 x 30 pixels"),
        ({"dilations": (3, 6, 9)}, (32, 32), "multiples of 4 from 40 on"),
        ({"id_weight": 0.0, "triplet_weight": 0.0}, (32, 32), "both 0"),
        ({"prototype_backbone": "convnext_atto"}, (32, 32), "needs layers of a ResNet"),
        ({"backbone": "edgenext_xx_small"}, (32, 32), "of 168 numbers cannot be cut"),
    ],
)
def test_contradictions_are_one_sentence(
    changed: dict[str, Any], size: tuple[int, int], sentence: str
) -> None:
    config = HiCMDConfig(**{**SMALL, **changed})
    with pytest.raises(ConfigError, match=sentence):
        HiCMD(config, num_ids=4, height=size[0], width=size[1])


def test_one_small_image_of_a_kind_is_too_little(make_batch: MakeBatch) -> None:
    method = _hicmd().train()
    update = RecordedUpdate(method)
    with pytest.raises(ConfigError, match="or use larger images"):
        method.training_step(make_batch(ids=2, per_modality=1, height=32), update)
    method.training_step(make_batch(ids=6, per_modality=1, height=32), update)
    method.training_step(make_batch(ids=2, per_modality=1, height=64), update)


@pytest.mark.parametrize(
    ("labels", "modality", "sentence"),
    [
        ([0, 1, 0, 2], [0, 0, 1, 1], "2 of 3 people of a batch are in it in one light only"),
        ([0, 0, 0], [0, 1, 1], "holds one person"),
    ],
)
def test_unfit_batches_are_named(labels: list[int], modality: list[int], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        taken_apart(torch.tensor(labels), torch.tensor(modality), pair_share=0.5)
