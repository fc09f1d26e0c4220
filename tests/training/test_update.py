from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from crosslight.errors import TrainingError
from crosslight.methods.contract import Progress, Scheduled
from crosslight.nn.distributed import gather_with_gradient
from crosslight.training.devices import compile_networks
from crosslight.training.update import LoopUpdate, LostValue


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 1), nn.Linear(3, 1)
        self.second.bias.requires_grad_(False)


def update_of(pair: Pair, *, clip_norm: float | None = None, lr: float = 0.1) -> LoopUpdate:
    optimizers = {
        name: Scheduled(
            optimizer=torch.optim.SGD(network.parameters(), lr),
            factor=lambda progress: 1 - progress.fraction,
        )
        for name, network in (("first", pair.first), ("second", pair.second))
    }
    fabric = Fabric(accelerator="cpu", devices=1)
    return LoopUpdate(fabric, optimizers, clip_norm=clip_norm, scaler=None)


def test_only_the_named_optimizers_move_and_no_gradient_stays() -> None:
    pair, images = Pair(), torch.rand(4, 3)
    update = update_of(pair)
    before = {name: p.clone() for name, p in pair.named_parameters()}
    update("first", {"sum": (pair.first(images) * pair.second(images)).sum()})
    moved = {name for name, p in pair.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"first.weight", "first.bias"}
    assert all(p.grad is None for p in pair.parameters())


def test_a_step_is_that_of_the_summed_losses_at_the_scheduled_rate() -> None:
    pair, images = Pair(), torch.rand(4, 3)
    update = update_of(pair)
    update.progress = Progress(stage="s", iteration=5, iterations=20, iterations_per_epoch=4)
    expected = pair.first.weight - 0.1 * 0.75 * 3 * images.sum(dim=0)
    update(
        ("first", "second"),
        {"one": pair.first(images).sum(), "two": pair.first(images).sum()},
        {"two": 2.0, "of another update": torch.nan},
    )
    torch.testing.assert_close(pair.first.weight, expected, rtol=1e-5, atol=1e-6)
    assert update.learning_rates() == pytest.approx({"first": 0.075}), "no gradient moved the other"


def test_gradients_are_clipped_over_all_named_parameters() -> None:
    pair, images = Pair(), torch.full((4, 3), 50.0)
    update = update_of(pair, clip_norm=0.5, lr=1.0)
    before = [p.clone() for p in pair.parameters()]
    update(("first", "second"), {"sum": (pair.first(images) + pair.second(images)).sum()})
    steps = [(old - new).detach() for old, new in zip(before, pair.parameters(), strict=True)]
    assert float(torch.stack([step.norm() for step in steps]).norm()) == pytest.approx(
        0.5, rel=1e-4
    )


def test_a_lost_value_moves_nothing() -> None:
    pair = Pair()
    update = update_of(pair)
    before = [p.clone() for p in pair.parameters()]
    loss = pair.first(torch.ones(1, 3)).sum()
    with pytest.raises(LostValue, match="loss 'log' became -inf"):
        update("first", {"sum": loss, "log": (loss * 0).log()})
    assert all(map(torch.equal, before, pair.parameters()))


def test_an_unknown_optimizer_is_named() -> None:
    with pytest.raises(TrainingError, match=r"the optimizer 'third', but .* first, second"):
        update_of(Pair())("third", {"sum": torch.zeros(())})


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        (lambda loss: {"gap": loss}, r"'first'\) was given 'gap' of shape \(4, 1\), expected a sc"),
        (lambda loss: {"gap": loss.sum().item()}, "was given 'gap' as float, expected a scalar"),
        (lambda _: {}, "was given no loss, expected losses by their names"),
        (lambda loss: loss.sum(), "was given Tensor, expected losses by their names"),
        (
            lambda loss: {"gap": loss.sum().detach(), "id": torch.tensor(1.0)},
            r"No gradient leads from gap \+ id to a weight of the optimizer first that may move",
        ),
    ],
)
def test_losses_that_cannot_be_learnt_from_are_named(losses: Any, said: str) -> None:
    pair = Pair()
    with pytest.raises(TrainingError, match=said):
        update_of(pair)("first", losses(pair.first(torch.rand(4, 3))))


def test_an_optimizer_with_nothing_to_move_is_named() -> None:
    pair = Pair()
    update = update_of(pair)
    pair.first.requires_grad_(False)
    loss = pair.second(torch.rand(4, 3)).sum()
    with pytest.raises(TrainingError, match="a weight of the optimizer first that may move"):
        update("first", {"sum": loss})
    update("second", {"sum": loss})
    assert update.steps == 1


def test_in_one_process_gathering_changes_nothing() -> None:
    tensor = torch.rand(3, requires_grad=True)
    assert gather_with_gradient(tensor) is tensor


def test_networks_are_compiled_in_place_and_keep_their_names() -> None:
    module = nn.Module()
    module.net = nn.Linear(2, 2)
    module.parts = nn.ModuleList([nn.Linear(2, 2), nn.ReLU()])
    names = list(module.state_dict())
    compile_networks(module)
    compiled = [module.net, *module.parts]
    assert [part._compiled_call_impl is not None for part in compiled] == [True, True, False]
    assert list(module.state_dict()) == names
