from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import RecordedUpdate, RoutedUpdate, at
from tests.oracles import d2rl as oracle
from torch import Tensor, nn

from crosslight.data.batch import Batch
from crosslight.errors import CheckpointError, ConfigError, TrainingError
from crosslight.losses import batch_hard_triplet, weighted_regularised_triplet
from crosslight.methods.contract import Progress, Translates, stages_to_train, weighted
from crosslight.methods.d2rl import D2RL, D2RLConfig
from crosslight.methods.d2rl.equations import (
    critic_losses,
    feature_losses,
    image_losses,
    image_weights,
)
from crosslight.methods.d2rl.image_level import ImageLevel
from crosslight.nn.weights import initial_weights_left_out
from crosslight.training.given_stages import take_given
from crosslight.types import Modality

IMAGE_LOSSES = ("vae_v", "vae_i", "gan_v", "gan_i", "cc_v", "cc_i")
GENERATORS = {"encoder_v", "encoder_i", "decoder_v", "decoder_i"}


def _d2rl(**overrides: Any) -> D2RL:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return D2RL(
            D2RLConfig(**{**D2RL.small, **overrides}), num_ids=6, height=64, width=32
        ).train()


def _images(level: ImageLevel, batch: Batch) -> tuple[Tensor, Tensor]:
    return level.prepare(batch.images[batch.modality == 0], batch.images[batch.modality == 1])


def _moved_by(gradients: Mapping[str, Tensor]) -> set[str]:
    return {name.split(".")[1] for name, value in gradients.items() if value.any()}


@pytest.mark.parametrize(
    ("gan", "noisy"), [("least-squares", False), ("least-squares", True), ("logarithmic", False)]
)
def test_image_losses_and_their_gradients_equal_the_equations(
    gan: Any, noisy: bool, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With noise: one draw for the generators, another for what the critics see (UNIT)."""
    weights = {"recon": 7.0, "kl": 0.3, "adversarial": 2.0, "cycle": 5.0, "cycle_kl": 0.2}
    config = D2RLConfig(
        **{**D2RL.small, "gan": gan},
        recon_weight=7.0,
        kl_weight=0.3,
        gan_weight=2.0,
        cycle_weight=5.0,
        cycle_kl_weight=0.2,
    )
    level = ImageLevel(config).double().train(noisy)  # in eval mode codes are their means
    with torch.no_grad():
        for parameter in level.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    drawn_noise: list[Tensor] = []
    draw_noise = torch.randn_like

    def recorded(like: Tensor) -> Tensor:
        drawn_noise.append(draw_noise(like))
        return drawn_noise[-1]

    monkeypatch.setattr(torch, "randn_like", recorded)
    x, y = (images[:2].double() for images in _images(level, make_batch()))
    nets = oracle.Networks(
        level.encoder_v, level.encoder_i, level.decoder_v, level.decoder_i, *level.critics
    )
    drawn = level.draw(x, y)
    found = weighted(image_losses(level, drawn), image_weights(config))
    found |= critic_losses(level, drawn)
    noise = None
    if noisy:
        v, i, cycle_v, cycle_i, critic_i, critic_v = drawn_noise
        noise = oracle.Noise(v, i, cycle_v, cycle_i, critic_v, critic_i)
    expected = oracle.image_losses(nets, x, y, gan=gan, noise=noise, **weights)
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12, msg=name)
        networks = level.critics if "critic" in name else level.generator
        parameters = [p for network in networks for p in network.parameters()]
        slopes = [
            torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            for loss in (found[name], value)
        ]
        for own, other in zip(*slopes, strict=True):
            if other is None:
                assert own is None or not own.any()
            else:
                torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-9, msg=name)


class _Gray(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=1, keepdim=True)


class _Colours(nn.Module):
    def forward(self, codes: Tensor) -> Tensor:
        return codes.expand(-1, 3, -1, -1)


def test_toys_that_keep_everything_have_no_cycle_loss(make_batch: MakeBatch) -> None:
    level = ImageLevel(D2RLConfig(**D2RL.small, cycle_kl_weight=0.0, kl_weight=0.0)).eval()
    level.encoder_v, level.encoder_i = _Gray(), nn.Identity()
    level.decoder_v, level.decoder_i = _Colours(), nn.Identity()
    _, y = _images(level, make_batch())
    x = y.expand(-1, 3, -1, -1)
    losses = image_losses(level, level.draw(x, y))
    for name in ("loss_vae_v", "loss_vae_i", "loss_cc_v", "loss_cc_i"):
        assert losses[name].item() == pytest.approx(0, abs=1e-6), name
    level.decoder_i = nn.Sequential(nn.Identity(), nn.Tanh())
    assert image_losses(level, level.draw(x, y))["loss_cc_v"].item() > 0.1


def test_exchanging_the_domains_exchanges_the_six_losses(make_batch: MakeBatch) -> None:
    level = ImageLevel(D2RLConfig(**D2RL.small, infrared_channels=3)).eval()
    other = ImageLevel(D2RLConfig(**D2RL.small, infrared_channels=3)).eval()
    exchange = str.maketrans({"v": "i", "i": "v"})

    def renamed(name: str) -> str:
        network, _, rest = name.partition(".")
        if network[-2:] in ("_v", "_i"):
            network = network[:-1] + network[-1].translate(exchange)
        return f"{network}.{rest}"

    other.load_state_dict({renamed(name): value for name, value in level.state_dict().items()})
    x, y = _images(level, make_batch())
    here, there = level.draw(x, y), other.draw(y, x)
    found = {**image_losses(level, here), **critic_losses(level, here)}
    swapped = {**image_losses(other, there), **critic_losses(other, there)}
    for name, value in found.items():
        torch.testing.assert_close(swapped[name[:-1] + name[-1].translate(exchange)], value)
    assert len({round(value.item(), 6) for value in found.values()}) == len(found)


def test_one_channel_counts_as_much_as_three(make_batch: MakeBatch) -> None:
    """The same error in each channel gives the same loss, whatever the number of channels."""
    level = ImageLevel(D2RLConfig(**D2RL.small, kl_weight=0.0)).eval()
    x, y = _images(level, make_batch())
    drawn = level.draw(x, y)
    off = {"recon_v": x + 0.1, "recon_i": y + 0.1, "cycle_v": x + 0.1, "cycle_i": y + 0.1}
    even = type(drawn)(**{**vars(drawn), **off})
    losses = image_losses(level, even)
    torch.testing.assert_close(losses["loss_vae_v"], losses["loss_vae_i"])
    assert losses["loss_vae_v"].item() == pytest.approx(1.0, rel=1e-4)
    weights = image_weights(D2RLConfig(**D2RL.small, infrared_weight=3.0))
    assert all(weights[f"loss_{n}_i"] == 3 * weights[f"loss_{n}_v"] for n in ("vae", "gan", "cc"))
    assert weights["loss_vae_v"] == weights["loss_gan_v"] == 1


@pytest.mark.parametrize("left_out", IMAGE_LOSSES)
def test_each_image_loss_can_be_left_out(left_out: Any, make_batch: MakeBatch) -> None:
    method = _d2rl(without=(left_out,))
    update = RecordedUpdate(method, stage="image")
    method.training_step(make_batch(), update)
    expected = {f"loss_{name}" for name in IMAGE_LOSSES if name != left_out}
    expected |= {f"loss_critic_{d}" for d in "vi" if f"gan_{d}" != left_out}
    assert set(update.losses) == expected


def test_without_adversarial_losses_no_critic_moves(make_batch: MakeBatch) -> None:
    method = _d2rl(without=("gan_v", "gan_i"))
    update = RecordedUpdate(method, stage="image")
    method.training_step(make_batch(), update)
    assert update.order == ["generator"]
    assert _moved_by(update.gradients) == GENERATORS


def test_what_is_in_the_other_light_already_is_kept(make_batch: MakeBatch) -> None:
    level = ImageLevel(D2RLConfig(**D2RL.small, keep_weight=2.0)).eval()
    x, y = _images(level, make_batch())
    losses = weighted(image_losses(level, level.draw(x, y)), image_weights(level.config))
    gray = (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    kept_v = level.decoder_v(level.encoder_i(gray))
    kept_i = level.decoder_i(level.encoder_v(y.expand(-1, 3, -1, -1)))
    torch.testing.assert_close(losses["loss_keep_v"], 2 * (kept_v - x).abs().mean())
    torch.testing.assert_close(losses["loss_keep_i"], 2 * (kept_i - y).abs().mean())
    assert len(losses) == 8


def test_codes_are_drawn_in_training_and_fixed_in_evaluation(make_batch: MakeBatch) -> None:
    method, batch = _d2rl(), make_batch()
    with torch.no_grad():
        first, second = (method.unified(batch.images, batch.modality) for _ in range(2))
        assert not torch.equal(first, second)
        method.eval()
        first, second = (method.unified(batch.images, batch.modality) for _ in range(2))
        assert torch.equal(first, second)


def test_modalities_share_the_blocks_that_are_asked_for() -> None:
    level = _d2rl(shared_blocks=1).image_level
    assert level is not None
    assert len(level.shared_in) == len(level.shared_out) == 1
    assert len(level.encoder_v.layers) == 3
    with pytest.raises(ConfigError, match="shared_blocks is 2"):
        _d2rl(shared_blocks=2)


CHANNELS = {"multispectral": 4, "visible": 3, "infrared": 1, "none": 3}
REAL = {
    # unify: where the real channels of a visible and of an infrared image stand; None: nowhere
    "multispectral": (slice(0, 3), slice(3, 4)),
    "visible": (slice(0, 3), None),
    "infrared": (None, slice(0, 1)),
    "none": (slice(0, 3), slice(0, 3)),
}


@pytest.mark.parametrize("unify", CHANNELS)
@pytest.mark.parametrize("image_shrink", [1, 2])
def test_real_channels_stand_in_their_place_bit_for_bit(
    unify: Any, image_shrink: Any, make_batch: MakeBatch
) -> None:
    method, batch = _d2rl(unify=unify, image_shrink=image_shrink), make_batch()
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(1))
    images, modality = batch.images[order], batch.modality[order]
    unified = method.unified(images, modality)
    assert unified.shape == (len(batch), CHANNELS[unify], 64, 32)
    assert unified.min() >= 0
    assert unified.max() <= 1
    for light, place in zip(Modality, REAL[unify], strict=True):
        if place is not None:
            rows = modality == light
            real = images[rows][:, : 1 if light and unify != "none" else 3]
            assert torch.equal(unified[rows][:, place], real)


@pytest.mark.parametrize(("unify", "channels"), CHANNELS.items())
def test_the_first_convolution_takes_the_unified_channels(unify: Any, channels: int) -> None:
    backbone = _d2rl(unify=unify).feature_level.backbone
    assert backbone.network.conv1[0].in_channels == channels
    assert len(backbone.mean) == channels


def test_generated_channels_are_the_translations(make_batch: MakeBatch) -> None:
    method, batch = _d2rl().eval(), make_batch()
    assert isinstance(method, Translates)
    visible, infrared = (batch.images[batch.modality == light] for light in Modality)
    with torch.no_grad():
        unified = method.unified(batch.images, batch.modality)
        drawn_i = method.translate(visible, Modality.VISIBLE, Modality.INFRARED)
        drawn_v = method.translate(infrared, Modality.INFRARED, Modality.VISIBLE)
    assert torch.equal(drawn_i[:, 0], drawn_i[:, 2])
    torch.testing.assert_close(unified[batch.modality == 0][:, 3:], drawn_i[:, :1])
    torch.testing.assert_close(unified[batch.modality == 1][:, :3], drawn_v)


def test_what_generates_nothing_cannot_translate(make_batch: MakeBatch) -> None:
    method = _d2rl(unify="none")
    assert [stage.name for stage in method.stages()] == ["feature"]
    assert set(method.optimizers()) == {"feature"}
    with pytest.raises(ConfigError, match="unify: none"):
        method.translate(make_batch().images, Modality.VISIBLE, Modality.INFRARED)
    with pytest.raises(ConfigError, match="both visible"):
        _d2rl().translate(make_batch().images, Modality.VISIBLE, Modality.VISIBLE)


@pytest.mark.parametrize("triplet", ["hard", "weighted"])
def test_the_triplet_loss_compares_the_metric_head(triplet: Any, make_batch: MakeBatch) -> None:
    method, batch = _d2rl(unify="none", triplet=triplet), make_batch()
    level = method.feature_level
    losses, _ = feature_losses(level, batch.images, batch.labels)
    metric = level(batch.images).metric
    expected = {
        "hard": batch_hard_triplet(metric, batch.labels, margin=method.config.margin),
        "weighted": weighted_regularised_triplet(metric, batch.labels, as_released=False),
    }
    torch.testing.assert_close(losses["loss_triplet"], expected[triplet])
    assert not torch.allclose(expected["hard"], expected["weighted"])


def _feature_gradients(unify: str, stage: str, batch: Batch) -> set[str]:
    """The networks of the image level that the feature losses alone send a gradient to."""
    method = _d2rl(unify=unify)
    with torch.no_grad():  # at its initial values of about 0 the classifier hides what lies before
        method.feature_level.heads.classifier.weight.normal_()
    update = RoutedUpdate(method, stage=stage)
    method.training_step(batch, update)
    reached = update.reached["loss_triplet"] | update.reached["loss_id"]
    found = {".".join(name.split(".")[:2]) for name in reached}
    assert "feature_level.backbone" in found
    return {name.split(".")[1] for name in found if name.startswith("image_level")}


@pytest.mark.parametrize(
    ("unify", "trained"),
    [
        ("multispectral", GENERATORS),
        ("visible", {"encoder_i", "decoder_v"}),
        ("infrared", {"encoder_v", "decoder_i"}),
    ],
)
def test_feature_losses_reach_the_generators_in_the_joint_stage_only(
    unify: str, trained: set[str], make_batch: MakeBatch
) -> None:
    assert _feature_gradients(unify, "joint", make_batch()) == trained
    assert _feature_gradients(unify, "feature", make_batch()) == set()


def test_who_moves_when(make_batch: MakeBatch) -> None:
    method = _d2rl()
    orders = {}
    for stage in method.stages():
        update = RecordedUpdate(method, stage=stage.name)
        method.training_step(make_batch(), update)
        orders[stage.name] = update.order
    assert orders == {
        "image": ["critic", "generator"],
        "feature": ["feature"],
        "joint": ["critic", ("generator", "feature")],
    }


def test_feature_losses_equal_the_equations(make_batch: MakeBatch) -> None:
    method, batch = _d2rl().double(), make_batch()
    with torch.no_grad():
        unified = method.unified(batch.images.double(), batch.modality)
        features = method.feature_level(unified)
        losses, accuracy = feature_losses(method.feature_level, unified, batch.labels)
    expected = oracle.cross_entropy(features.logits, batch.labels)
    torch.testing.assert_close(losses["loss_id"], expected)
    right = sum(
        int(row.argmax()) == label
        for row, label in zip(features.logits, batch.labels.tolist(), strict=True)
    )
    assert accuracy.item() == pytest.approx(right / len(batch))
    assert features.shared.shape == (len(batch), 32)
    assert features.metric.shape == (len(batch), 16)


def test_separate_training_gives_the_feature_level_as_many_steps() -> None:
    lengths = {"image_iterations": 5, "feature_iterations": 7, "joint_iterations": 3}
    joint, separate = _d2rl(**lengths), _d2rl(**lengths, joint=False)
    assert [(s.name, s.iterations) for s in joint.stages()] == [
        ("image", 5),
        ("feature", 7),
        ("joint", 3),
    ]
    assert [(s.name, s.iterations) for s in separate.stages()] == [("image", 5), ("feature", 10)]


def test_schedules_run_over_both_stages_of_the_feature_level() -> None:
    lengths = {"image_iterations": 50, "feature_iterations": 60, "joint_iterations": 40}
    joint = _d2rl(**lengths, schedule="cosine", warmup_iterations=10, image_lr_steps=(20,))
    separate = _d2rl(**lengths, schedule="cosine", warmup_iterations=10, joint=False)

    def factor(method: D2RL, name: str, stage: str, iteration: int) -> float:
        progress = Progress(
            stage=stage, iteration=iteration, iterations=100, iterations_per_epoch=10
        )
        return method.optimizers()[name].factor(progress)

    for iteration in range(40):
        assert factor(joint, "feature", "joint", iteration) == factor(
            separate, "feature", "feature", 60 + iteration
        )
    assert factor(joint, "feature", "feature", 4) == pytest.approx(0.5, abs=0.01)
    assert factor(joint, "feature", "joint", 39) < 0.001
    assert factor(joint, "generator", "image", 19) == 1
    assert factor(joint, "generator", "image", 20) == 0.5
    assert factor(joint, "generator", "joint", 0) == 0.1
    steps = _d2rl(**lengths, lr_steps=(30, 80))
    assert [factor(steps, "feature", "feature", n) for n in (29, 30)] == pytest.approx([1, 0.1])
    assert factor(steps, "feature", "joint", 20) == pytest.approx(0.01)


def test_a_batch_of_one_light_is_refused(make_batch: MakeBatch) -> None:
    batch, method = make_batch(), _d2rl()
    held = {k: v for k, v in vars(batch).items() if v is not None}
    visible = Batch(**{k: v[batch.modality == 0] for k, v in held.items()})
    with pytest.raises(TrainingError, match="no infrared one"):
        method.training_step(visible, RecordedUpdate(method, stage="image"))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    state = {
        k: v.contiguous() + 0.01 for k, v in _d2rl().state_dict().items() if v.is_floating_point()
    }
    save_file(state, path)
    return path


@pytest.mark.parametrize("unify", ["multispectral", "infrared"])
def test_a_given_image_level_skips_its_stage(unify: str, weights: Path) -> None:
    method = _d2rl(image_weights=str(weights), unify=unify)
    take_given(method)
    assert [stage.name for stage in stages_to_train(method)] == ["feature", "joint"]
    assert method.image_level is not None
    assert all(p.requires_grad for p in method.image_level.parameters())
    assert set(method.optimizers()) == {"feature", "critic", "generator"}
    plain = dict(_d2rl().named_parameters())
    for name, value in method.named_parameters():
        if name.startswith("image_level"):
            torch.testing.assert_close(value, plain[name] + 0.01)


def test_a_given_image_level_of_separate_training_is_never_moved(weights: Path) -> None:
    method = _d2rl(image_weights=str(weights), joint=False)
    take_given(method)
    assert [stage.name for stage in stages_to_train(method)] == ["feature"]
    assert set(method.optimizers()) == {"feature"}
    assert method.image_level is not None
    assert not any(p.requires_grad for p in method.image_level.parameters())


def test_weights_of_something_else_are_refused(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(CheckpointError, match="does not fit"):
        take_given(_d2rl(image_weights=str(weights), width=4))
    path = tmp_path / "other.safetensors"
    save_file({"backbone.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="holds nothing of image_level"):
        take_given(_d2rl(image_weights=str(path)))
    with pytest.raises(CheckpointError, match="There is no weight file nowhere"):
        take_given(_d2rl(image_weights="nowhere.safetensors"))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"image_shrink": 4, "critic_layers": 3}, "64 x 32 pixels"),
        ({"samples": 0}, "samples is 0"),
        ({"image_batch": 0}, "image_batch 0"),
        ({"feature_iterations": 0}, "feature_iterations 0"),
    ],
)
def test_what_does_not_fit_is_refused(overrides: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        _d2rl(**overrides)


def test_published_sizes() -> None:
    thin = ImageLevel(D2RLConfig(width=1, critic_width=1))
    assert thin.encoder_v(torch.zeros(1, 3, 256, 128)).shape == (1, 4, 64, 32)
    verdicts = thin.critic_i(torch.zeros(1, 1, 256, 128))
    assert [tuple(v.shape[2:]) for v in verdicts] == [(16, 8), (8, 4), (4, 2)]
    with torch.device("meta"), initial_weights_left_out():
        method = D2RL(D2RLConfig(), num_ids=395, height=256, width=128)
    level = method.image_level
    assert level is not None

    def millions(*networks: nn.Module) -> float:
        return sum(p.numel() for n in networks for p in n.parameters()) / 1e6

    assert millions(level.encoder_v, level.decoder_v) == pytest.approx(11.1, abs=0.1)
    assert millions(level.critic_v) == pytest.approx(8.3, abs=0.1)
    heads = method.feature_level.heads
    assert heads.shared.out_features == 1024
    assert heads.metric.out_features == 128
    assert heads.classifier.out_features == 395
    assert method.feature_level.backbone.network.conv1.in_channels == 4


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        ("image", {"keep_weight": 0.8, "shared_blocks": 1, "blocks": 2, "slope": 0.35}),
        ("image", {"gan": "logarithmic", "without": ("gan_v", "cc_i"), "infrared_channels": 3}),
        ("feature", {"samples": 2, "optimizer": "adamw", "schedule": "cosine"}),
        ("feature", {"unify": "infrared", "infrared_channels": 3}),
        ("feature", {"unify": "none", "samples": 2}),
        ("joint", {"encoder_norm": False, "margin": 0.9, "unify": "visible", "slope": 0.0}),
        (
            "joint",
            {"image_batch": None, "image_shrink": 2, "triplet": "weighted", "dim_norm": False},
        ),
    ],
)
def test_iterations_agree_with_the_equations(
    stage: str, changes: dict[str, Any], make_batch: MakeBatch
) -> None:
    method = scrambled(
        _d2rl(
            **{
                "width": 4,
                "critic_width": 4,
                "image_batch": 3,
                "recon_weight": 7.0,
                "kl_weight": 0.3,
                "gan_weight": 2.0,
                "cycle_weight": 5.0,
                "cycle_kl_weight": 0.2,
                "infrared_weight": 0.6,
                "image_lr_steps": (11,),
                "image_weight_decay": 3e-4,
                "joint_lr_factor": 0.3,
                "label_smoothing": 0.13,
                "id_weight": 0.7,
                "triplet_weight": 1.9,
                "feature_weight": 0.4,
                "feature_iterations": 30,
                "joint_iterations": 20,
                "lr": 0.01,
                "backbone_lr_factor": 0.3,
                "weight_decay": 7e-4,
                "lr_steps": (11, 40),
                "warmup_iterations": 15,
                **changes,
            }
        )
    )
    places = [at(method, stage=stage, iteration=i) for i in (10, 11)]
    plain = oracle.PlainD2RL(method.state_dict(), method.config)
    batches = mirrored(make_batch(ids=3), 2)
    assert_iterations_agree(method, plain, batches, places=places, keep_noise=True)
