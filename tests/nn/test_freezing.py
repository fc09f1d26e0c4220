from __future__ import annotations

import torch
from torch import nn

from crosslight.nn.freezing import frozen, unremembered


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))


def test_gradient_passes_through_and_leaves_no_trace() -> None:
    network = _network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    inputs = torch.randn(6, 3, requires_grad=True)
    with frozen(network):
        out = network(inputs)
        again = network(inputs)
    assert torch.equal(out, again), "no dropout"
    out.square().sum().backward()
    assert inputs.grad is not None
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(module.training for module in network.modules())
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    network(inputs)
    assert not torch.equal(network[1].running_mean, before["1.running_mean"])


def test_statistics_of_the_batch_or_the_running_ones() -> None:
    network = _network().train()
    inputs = torch.randn(8, 3) * 5 + 3
    with torch.no_grad(), frozen(network, statistics="batch"):
        by_batch = network(inputs)
    with torch.no_grad(), frozen(network, statistics="running"):
        by_running = network(inputs)
        assert torch.equal(by_running, network(inputs))
    assert torch.equal(by_running, network.eval()(inputs))
    assert not torch.allclose(by_batch, by_running)
    with torch.no_grad(), frozen(network, dropout=True):
        assert not torch.equal(network(inputs), network(inputs))
    assert not any(module.training for module in network.modules())


def test_followed_statistics_move_and_weights_learn_nothing() -> None:
    network, other = _network().train(), _network().train()
    other.load_state_dict(network.state_dict())
    inputs = torch.randn(8, 3, requires_grad=True)
    with frozen(network, statistics="followed", dropout=True):
        network(inputs).sum().backward()
    other(inputs.detach())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert inputs.grad is not None
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(getattr(network[1], name), getattr(other[1], name))


def test_weights_that_were_fixed_stay_fixed() -> None:
    network = _network()
    network[0].requires_grad_(False)
    with frozen(network):
        pass
    assert not network[0].weight.requires_grad
    assert network[3].weight.requires_grad


def test_what_is_not_remembered_is_learnt_all_the_same() -> None:
    network, other = _network().train(), _network().train()
    network[2].p = other[2].p = 0.0
    other.load_state_dict(network.state_dict())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    inputs = torch.randn(6, 3)
    with unremembered(network):
        out = network(inputs)
    assert torch.equal(out, other(inputs)), "by the batch's statistics"
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    out.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network(inputs)
    assert torch.equal(network[1].running_mean, other[1].running_mean)
