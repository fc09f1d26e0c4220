from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import RecordedUpdate, RoutedUpdate, at
from tests.oracles import cmpig as oracle
from torch import Tensor, nn

from crosslight.data.batch import Batch
from crosslight.errors import CheckpointError, ConfigError
from crosslight.methods.cmpig import CmPIG, CmPIGConfig, equations
from crosslight.methods.cmpig.pairs import paired_rows
from crosslight.methods.contract import Interpolates, Swaps, Translates, stages_to_train
from crosslight.nn.weights import initial_weights_left_out
from crosslight.training.given_stages import take_given

SIZE = (64, 32)
APART = {"share_content": False}


def _cmpig(**overrides: Any) -> CmPIG:
    config = CmPIGConfig(**{**CmPIG.small, **overrides})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CmPIG(config, num_ids=6, height=SIZE[0], width=SIZE[1]).train()


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        ("warm-up", {}),
        ("warm-up", {"cycle_style": "fake", "gray_content": False, "stem_relu": True}),
        ("joint", {}),
        ("joint", {"cycle_style": "fake", "align": "forward", "blocks": 1, "doublings": 2}),
        (
            "joint",
            {"pooling": "gem", "gem_p": 2.0, "parts": 2, "generator_statistics": "left"},
        ),
        ("warm-up", {"generator_statistics": "left"}),
        ("joint", {"joint_gan_reaches_content": False, "schedule": "cosine", "last_stride": 2}),
        ("joint", {**APART, "feature_gan_weight": 0.6, "align": "none"}),
        ("joint", {**APART, "joint_gan_reaches_content": False, "feature_weight": 0.0}),
    ],
)
def test_iterations_agree_with_the_equations(
    stage: str, changes: dict[str, Any], make_batch: MakeBatch
) -> None:
    method = scrambled(
        _cmpig(
            **{
                "gan_per_light": 2,
                "style_width": 4,
                "style_dim": 5,
                "adain_width": 6,
                "critic_width": 4,
                "recon_weight": 7.0,
                "cycle_weight": 5.0,
                "gan_weight": 2.0,
                "feature_weight": 0.7,
                "align_weight": 0.4,
                "id_weight": 0.6,
                "triplet_weight": 1.9,
                "margin": 0.8,
                "label_smoothing": 0.13,
                "lr": 2e-3,
                "weight_decay": 7e-4,
                "gan_lr": 3e-3,
                "gan_weight_decay": 3e-4,
                "step_epochs": (1,),
                **changes,
            }
        )
    )
    places = [at(method, stage=stage, iteration=i, iterations=200) for i in (99, 100)]
    plain = oracle.PlainCmPIG(method.state_dict(), method.config, SIZE)
    assert_iterations_agree(method, plain, mirrored(make_batch(ids=3), 2), places=places)


DRAWS = {"translator.styles", "translator.adain", "translator.decoders"}
IDENTIFIES = {"content", "instance", "head"}


def _parts(names: set[str]) -> set[str]:
    """The networks that weights belong to, those of the translator one by one."""
    return {
        ".".join(name.split(".")[:2]) if name.startswith("translator") else name.split(".")[0]
        for name in names
    }


def _routes(method: CmPIG, stage: str, batch: Batch) -> dict[str, set[str]]:
    with torch.no_grad():  # at its initial values of about 0 the classifier hides what lies before
        method.head.classifier.weight.normal_()
    update = RoutedUpdate(method, stage=stage)
    method.training_step(batch, update)
    return {loss: _parts(names) for loss, names in update.reached.items()}


def test_the_warm_up_trains_the_generator_alone(make_batch: MakeBatch) -> None:
    routes = _routes(_cmpig(), "warm-up", make_batch())
    assert routes.pop("loss_style") == DRAWS
    assert routes.pop("loss_critic") == {"translator.critics"}
    assert set(routes) == {"loss_recon", "loss_cycle", "loss_gan", "loss_content"}
    assert all(route == DRAWS for route in routes.values())


def test_each_loss_reaches_what_it_shall_in_the_joint_stage(make_batch: MakeBatch) -> None:
    assert _routes(_cmpig(), "joint", make_batch()) == {
        "loss_recon": DRAWS | {"content"},
        "loss_cycle": DRAWS | {"content"},
        "loss_gan": DRAWS | {"content"},
        "loss_content": DRAWS,
        "loss_style": DRAWS,
        "loss_align": IDENTIFIES,
        "loss_id": IDENTIFIES,
        "loss_triplet": {"content", "instance"},
        "loss_critic": {"translator.critics"},
    }


def test_an_own_set_level_learns_what_the_shared_one_would(make_batch: MakeBatch) -> None:
    routes = _routes(_cmpig(**APART, feature_gan_weight=1.0), "joint", make_batch())
    assert routes["loss_recon"] == DRAWS | {"content"}
    assert routes["loss_id"] == routes["loss_align"] == {"set_level", "instance", "head"}
    assert routes["loss_feature_gan"] == {"set_level"}
    assert routes["loss_feature_critic"] == {"feature_critic"}
    kept = _routes(_cmpig(joint_gan_reaches_content=False), "joint", make_batch())
    assert kept["loss_gan"] == DRAWS
    assert kept["loss_id"] == IDENTIFIES


def test_a_content_encoder_that_nothing_trains_never_moves(make_batch: MakeBatch) -> None:
    method = _cmpig(**APART, joint_gan_reaches_content=False)
    assert set(method.optimizers()) == {"generator", "critic", "instance"}
    before = {n: p.clone() for n, p in method.content.named_parameters()}
    update = RecordedUpdate(method, stage="joint")
    method.training_step(make_batch(), update)
    assert update.order == [("generator", "instance"), "critic"]
    assert all(torch.equal(p, before[n]) for n, p in method.content.named_parameters())


def test_in_the_warm_up_only_statistics_of_the_content_encoder_move(make_batch: MakeBatch) -> None:
    method = _cmpig()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    update = RecordedUpdate(method, stage="warm-up")
    method.training_step(make_batch(), update)
    assert update.order == ["generator", "critic"]
    moved = {n for n, v in method.state_dict().items() if not torch.equal(v, before[n])}
    left = {name for name in moved if not name.startswith("translator")}
    assert left == {name for name in before if name.startswith("content") and _is_statistic(name)}


def _is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


@pytest.mark.parametrize("switch", CmPIG.switches)
def test_with_every_switch_every_loss_trains_something(switch: str, make_batch: MakeBatch) -> None:
    changes = {key.removeprefix("config."): v for key, v in CmPIG.switches[switch].items()}
    routes = _routes(_cmpig(**changes), "joint", make_batch())
    assert all(routes.values())
    left_out = {"loss_align"} if changes.get("align") == "none" else set()
    left_out |= {"loss_content", "loss_style"} if changes.get("feature_weight") == 0 else set()
    expected = {f"loss_{n}" for n in ("recon", "cycle", "gan", "content", "style", "align", "id")}
    assert set(routes) >= expected - left_out
    assert not set(routes) & left_out


def test_start_values(make_batch: MakeBatch) -> None:
    method = _cmpig(critic_layers=3)
    update = RecordedUpdate(method, stage="joint")
    method.training_step(make_batch(ids=6), update)
    assert update.losses["loss_gan"] == pytest.approx(4, abs=0.05)  # 2 lights x 2 scales
    assert update.losses["loss_critic"] == pytest.approx(4, abs=0.05)
    assert update.losses["loss_id"] == pytest.approx(math.log(6), abs=0.02)
    assert update.losses["loss_align"] < 0.01


def test_published_sizes() -> None:
    with torch.device("meta"), initial_weights_left_out():
        method = CmPIG(CmPIGConfig(), num_ids=395, height=256, width=128)

    def size(*networks: nn.Module) -> int:
        return sum(p.numel() for network in networks for p in network.parameters())

    translator = method.translator
    assert size(method.content) == 225_344
    assert size(method.instance) == 23_282_688
    assert size(method.head) == 813_056
    own = (translator.styles, translator.adain, translator.decoders, *translator.critics)
    styles, adain, decoders = (network.networks[0] for network in own[:3])  # type: ignore[index]
    assert size(styles) == 709_824
    assert size(adain) == 625_152
    assert size(decoders) == 3_198_723
    assert size(translator.critics[0]) == size(translator.critics[1]) == 1_380_802
    # The release's 36.3 million hold a classifier of styles besides, which nothing trains.
    assert size(method) == 36_150_090


def test_published_shapes() -> None:
    """Of thin networks with the published strides."""
    thin = {"critic_layers": 4, "style_width": 1, "critic_width": 1}
    config = CmPIGConfig(**{**CmPIG.small, **thin})
    method = CmPIG(config, num_ids=6, height=256, width=128).eval()
    translator, light = method.translator, torch.tensor([0, 1])
    with torch.no_grad():
        drawable = method._drawable(torch.rand(2, 3, 256, 128))
        assert drawable.shape == (2, 3, 128, 64)
        content = method._content_of(drawable, light)
        assert content.shape == (2, 16, 64, 32)
        assert method.instance(content).shape == (2, 128, 16, 8)
        drawn = translator.draw(content, translator.style(drawable, light), light)
        assert drawn.shape == drawable.shape
        assert [v.shape[1:] for v in translator.critics[0](drawn)] == [(1, 8, 4), (1, 4, 2)]


class _Shown(nn.Module):
    """A translator whose drawings are the content itself."""

    def draw(self, content: Tensor, style: Tensor, modality: Tensor) -> Tensor:  # noqa: ARG002
        return content


def test_a_decoder_that_shows_the_content_reconstructs_what_keeps_it(
    make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = _cmpig(doublings=2)
    monkeypatch.setattr(method, "_content_of", lambda images, _: images)
    monkeypatch.setattr(method.translator, "draw", _Shown().draw)
    batch = make_batch()
    losses = method._drawn(batch, content_learns=False).losses
    for name in ("loss_recon", "loss_cycle", "loss_content"):
        assert losses[name].item() == 0, name
    assert losses["loss_style"].item() > 0


def test_equal_verdicts_are_aligned() -> None:
    real = torch.randn(6, 5, dtype=torch.float64)
    fake = equations.exchanged(real).requires_grad_()
    loss = equations.loss_align(fake, real, "symmetric")
    (slope,) = torch.autograd.grad(loss, fake)
    assert loss.item() == pytest.approx(0, abs=1e-15)
    assert slope.abs().max() < 1e-15
    other = torch.randn(6, 5, dtype=torch.float64)
    symmetric = equations.loss_align(other, real, "symmetric")
    forward = equations.loss_align(other, real, "forward")
    assert symmetric > forward > 0
    turned = equations.loss_align(
        equations.exchanged(real), equations.exchanged(other), "symmetric"
    )
    torch.testing.assert_close(symmetric, turned)


def test_alignment_and_triplet_equal_the_equations() -> None:
    fake, real = torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True)
    for kind in ("symmetric", "forward"):
        found = equations.loss_align(fake, real, kind)  # type: ignore[arg-type]
        expected = oracle.alignment(fake[3:], real[:3], kind) + oracle.alignment(
            fake[:3], real[3:], kind
        )
        _same(found, expected, fake)
    vectors = torch.randn(10, 3, dtype=torch.float64, requires_grad=True)
    labels, modality = torch.arange(10) % 2, torch.tensor([0] * 6 + [1] * 4)
    found = equations.loss_triplet(vectors, labels, modality, margin=0.7)
    _same(found, oracle.triplet(vectors, labels.tolist(), modality.tolist(), 0.7), vectors)


def _same(found: Tensor, expected: Tensor, weights: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    slopes = [torch.autograd.grad(loss, weights)[0] for loss in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-12)


def test_the_triplet_compares_across_lights_only() -> None:
    """Both lights shifted apart: distances within a light stay, and the loss changes."""
    vectors = torch.randn(8, 3, dtype=torch.float64)
    labels, modality = torch.arange(8) % 2, torch.arange(8) // 4
    near = equations.loss_triplet(vectors, labels, modality, margin=5.0)
    within = vectors.clone()
    within[0] = within[2]  # somebody of the same light and person; nobody looks at that pair
    rows = [1, 2, 3, 4, 5, 6, 7]
    assert near != equations.loss_triplet(
        vectors + 9.0 * modality[:, None], labels, modality, margin=5.0
    )
    torch.testing.assert_close(
        equations.loss_triplet(within[rows], labels[rows], modality[rows], margin=5.0),
        equations.loss_triplet(vectors[rows], labels[rows], modality[rows], margin=5.0),
    )


def test_gray_is_that_of_normalised_channels(make_batch: MakeBatch) -> None:
    """ImageNet's deviations differ, so even three equal channels become something else."""
    batch = make_batch()
    infrared = batch.images[batch.modality == 1].double()
    grayed, coloured = _cmpig().double(), _cmpig(gray_content=False).double()
    seen, plain = grayed._seen(infrared), coloured._seen(infrared)
    expected = sum(w * plain[:, n] for n, w in enumerate((0.299, 0.587, 0.114)))
    for channel in seen.unbind(1):
        torch.testing.assert_close(channel, expected)
    assert (seen - plain).abs().max() > 0.01


def test_pairs_are_of_one_person_in_both_lights() -> None:
    labels = torch.tensor([4, 4, 4, 7, 7, 9, 9, 4, 4, 7, 9, 9])
    modality = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
    rows = paired_rows(labels, modality, people=3, per_light=2)
    assert rows.tolist() == [0, 1, 3, 7, 8, 9]  # 9 was seen in one light, 7 once in infrared
    assert paired_rows(labels, modality, people=1, per_light=2).tolist() == [0, 1, 7, 8]
    with pytest.raises(ConfigError, match="gives 1 pairs"):
        paired_rows(labels, modality, people=1, per_light=1)
    with pytest.raises(ConfigError, match=r"data\.sampling to cross-modal"):
        paired_rows(labels, torch.zeros(12, dtype=torch.int64), people=3, per_light=2)


def test_the_usual_style_is_the_mean_of_what_was_seen(make_batch: MakeBatch) -> None:
    method, batch = (
        _cmpig(gan_ids=4, gan_per_light=2, gan_lr=0.0, gan_weight_decay=0.0),
        make_batch(),
    )
    for images in (batch.images, batch.images.flip(-1)):
        update = RecordedUpdate(method, stage="warm-up")
        method.training_step(dataclasses.replace(batch, images=images), update)
    both = torch.stack([batch.images, batch.images.flip(-1)])
    for light in (0, 1):
        rows = both[:, batch.modality == light].flatten(0, 1)
        styles = method.translator.styles.networks[light](method._drawable(rows))
        torch.testing.assert_close(method.translator.usual_style.mean[light], styles.mean(dim=0))


@pytest.mark.parametrize(("feature_weight", "grows"), [(1.0, False), (0.0, True)])
def test_reconstructing_styles_shrinks_them(
    feature_weight: float, grows: bool, make_batch: MakeBatch
) -> None:
    """As released neither side is held fixed, so that equal styles are the best ones."""
    method, batch = _cmpig(feature_weight=feature_weight), make_batch()
    rows = batch.modality == 0
    images, light = method._drawable(batch.images[rows]), batch.modality[rows]

    def spread() -> float:
        with torch.no_grad():
            return method.translator.style(images, light).std(dim=0).mean().item()

    before, update = spread(), RecordedUpdate(method, stage="warm-up")
    for _ in range(16):
        method.training_step(batch, update)
    assert spread() > 50 * before if grows else spread() < before


@pytest.mark.parametrize("doublings", [0, 1, 2])
def test_what_it_draws(doublings: int, make_batch: MakeBatch) -> None:
    method, batch = _cmpig(doublings=doublings, critic_layers=1, style_halvings=2), make_batch()
    method.training_step(batch, RecordedUpdate(method, stage="warm-up"))
    method.eval()
    visible, infrared = (batch.images[batch.modality == light] for light in (0, 1))
    assert isinstance(method, Translates)
    assert isinstance(method, Swaps)
    assert isinstance(method, Interpolates)
    with torch.no_grad():
        drawn = method.translate(visible, 0, 1)
        assert drawn.shape == visible.shape
        assert 0 <= drawn.min() < drawn.max() <= 1
        assert torch.equal(drawn, method.translate(visible, 0, 1))
        assert not torch.allclose(drawn, method.translate(infrared, 1, 0))
        # An image of the other light lends its own style in place of the usual one.
        method.translator.usual_style.mean[1] = method.translator.style(
            method._drawable(infrared[:1]), torch.tensor([1])
        )
        lent = method.swap(infrared[:1].expand_as(visible), visible)
        torch.testing.assert_close(lent, method.translate(visible, 0, 1))
        first, second = visible, visible.flip(0)
        for fraction, appearance in ((0.0, first), (1.0, second)):
            between = method.interpolate(first, second, infrared, fraction)
            torch.testing.assert_close(between, method.swap(appearance, infrared))
    with pytest.raises(ConfigError, match="source and target are both visible"):
        method.translate(visible, 0, 0)
    with pytest.raises(ConfigError, match="give images of one light"):
        method.interpolate(visible, infrared, visible, 0.5)


def test_codes_by_name(make_batch: MakeBatch) -> None:
    method, batch = _cmpig().eval(), make_batch()
    with torch.no_grad():
        codes = method.codes(batch.images, batch.modality)
        embedded = method.embed(batch.images, batch.modality)
    assert {name: code.shape[1] for name, code in codes.items()} == {
        "content": 16 * 8 * 4,
        "style": 16,
        "identity": 128,
    }
    assert torch.equal(codes["identity"], embedded)


def test_stages_and_rates() -> None:
    method = _cmpig(warmup_epochs=100, joint_epochs=50, step_epochs=(30,))
    assert [(s.name, s.epochs) for s in method.stages()] == [("warm-up", 100), ("joint", 50)]
    assert [s.name for s in _cmpig(warmup_epochs=0).stages()] == ["joint"]
    for scheduled in method.optimizers().values():
        assert scheduled.factor(at(method, stage="warm-up", iteration=9_999)) == 1
        assert scheduled.factor(at(method, stage="joint", iteration=2_999)) == 1
        assert scheduled.factor(at(method, stage="joint", iteration=3_000)) == pytest.approx(0.1)
    cosine = _cmpig(schedule="cosine").optimizers()["content"]
    assert cosine.factor(at(method, stage="joint", iteration=5_000)) == pytest.approx(0.5)
    assert cosine.factor(at(method, stage="warm-up", iteration=5_000)) == 1


def test_a_given_generator_skips_the_warm_up(tmp_path: Path) -> None:
    trained = _cmpig()
    with torch.no_grad():
        for value in trained.translator.state_dict().values():
            value.add_(1)
    path = tmp_path / "model.safetensors"
    save_file({k: v.contiguous() for k, v in trained.state_dict().items()}, path)
    method = _cmpig(generator_weights=str(path))
    take_given(method)
    assert [stage.name for stage in stages_to_train(method)] == ["joint"]
    for name, value in method.translator.state_dict().items():
        assert torch.equal(value, trained.translator.state_dict()[name]), name
    assert all(p.requires_grad for p in method.translator.parameters())
    with pytest.raises(CheckpointError, match="There is no weight file nowhere"):
        take_given(_cmpig(generator_weights="nowhere.safetensors"))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"feature_gan_weight": 1.0}, "config.share_content to false"),
        ({"critic_layers": 5}, "64 x 32 pixels"),
        ({"style_halvings": 6}, "multiples of 4 from 128 on"),
        ({**APART, "feature_gan_weight": 1.0, "doublings": 2, "critic_layers": 4}, "from 64 on"),
        ({"backbone": "vit_tiny_patch16_224"}, "one of the ResNet family"),
    ],
)
def test_what_does_not_fit_is_refused(overrides: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        _cmpig(**overrides)
