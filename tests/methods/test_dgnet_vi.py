from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.test_dgnet import GENERATOR, ROUTES, WEIGHTS
from tests.methods.updates import RecordedUpdate, RoutedUpdate, at
from tests.oracles.dgnet_vi import PlainStepVI

from crosslight.errors import ConfigError
from crosslight.methods.dgnet import DGNet, DGNetConfig
from crosslight.methods.dgnet_vi import DGNetVI, DGNetVIConfig

SMALL: dict[str, Any] = {
    "backbone": "resnet10-quarter",
    "weights": "none",
    "structure_width": 4,
    "critic_width": 4,
    "adain_width": 16,
    "dim": 24,
    "dilations": (1, 2, 3),
    "ramp_start": 100,
    "again_probability": 1.0,
}


def _method(**overrides: Any) -> DGNetVI:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DGNetVI(DGNetVIConfig(**{**SMALL, **overrides}), num_ids=6, height=64, width=32)


def test_it_is_dgnet_on_the_same_batch(make_batch: MakeBatch) -> None:
    ours = _method().train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = DGNet(DGNetConfig(**SMALL), num_ids=6, height=64, width=32).train()
    found = []
    for method in (ours, plain):
        torch.manual_seed(1)
        found.append(method.training_step(make_batch(), RecordedUpdate(method, iteration=1100)))
    across = found[0].pop("exchanged_across_light")
    assert across == 1
    assert found[0] == found[1]


def test_routes_are_those_of_dgnet(make_batch: MakeBatch) -> None:
    method = _method().train()
    update = RoutedUpdate(method, iteration=1100)
    method.training_step(make_batch(), update)
    assert update.routes == {name: routes[0] for name, routes in ROUTES.items()}


def test_an_attached_code_lets_generated_images_train_the_appearance_encoder(
    make_batch: MakeBatch,
) -> None:
    method = _method(detach_code=False).train()
    update = RoutedUpdate(method, iteration=1100)
    method.training_step(make_batch(), update)
    reached = {name for name, routes in update.routes.items() if "appearance" in routes}
    own = {name for name, routes in ROUTES.items() if "appearance" in routes[0]}
    drawn = {"loss_recon_same_image", "loss_recon_same_id", "loss_adversarial"}
    assert drawn <= reached - own
    assert all(update.routes[name] == GENERATOR | {"appearance"} for name in drawn)
    assert ("generator", "identity") in update.order


@pytest.mark.parametrize(
    ("switch", "again"),
    [
        ({"divergence": "student-teacher"}, 0.1),
        ({"detach_code": False, "appearance_code_gradient": True}, 0.9),
    ],
)
def test_iterations_agree_with_the_plain_formulation(
    switch: dict[str, Any], again: float, make_batch: MakeBatch
) -> None:
    """What is DG-Net's is held against the description there; here, what differs."""
    method = scrambled(_method(**{**WEIGHTS, **switch}, again_probability=again))
    plain = PlainStepVI(copy.deepcopy(method))
    places = [at(method, iteration=i) for i in (310, 311)]
    torch.manual_seed(0)
    assert_iterations_agree(method, plain, mirrored(make_batch(), 2), places=places)


def test_partners_in_another_light_or_of_another_person_are_refused(make_batch: MakeBatch) -> None:
    batch = make_batch()
    method = _method().train()
    for broken in (
        replace(batch, modality=batch.modality.roll(1)),
        replace(batch, labels=batch.labels.roll(1)),
    ):
        with pytest.raises(ConfigError, match="light-pairs"):
            method.training_step(broken, RecordedUpdate(method))


def test_every_switch_changes_the_configuration() -> None:
    known = {f"config.{name}" for name in DGNetVIConfig.__dataclass_fields__}
    for changes in DGNetVI.switches.values():
        for key, value in changes.items():
            if key in known:
                assert getattr(DGNetVIConfig(), key.removeprefix("config.")) != value
            else:
                assert key == "data.across_light"
