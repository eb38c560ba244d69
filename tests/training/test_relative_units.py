"""How parameters move while a quantized network is trained."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import pytest
import torch
from small_networks import clips, network
from torch import nn

from qgait.errors import QgaitError
from qgait.export.checks import check_graph
from qgait.export.folding import fold
from qgait.quantizers.deployable import LARGEST_BIAS
from qgait.quantizers.parameters import parameter
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.training.relative_units import RelativeUnits, units_of


def fresh() -> SimulatedNetwork:
    return copy.deepcopy(network("gaitset", "w4a4"))


def counted(net: SimulatedNetwork, head: nn.Module | None = None) -> RelativeUnits:
    return RelativeUnits(net, head, units_of(net, head))


def moved_by(values: Iterable[torch.Tensor], amount: float) -> None:
    with torch.no_grad():
        for value in values:
            value.add_(amount)


def test_a_move_is_in_units_of_the_layer_and_of_the_step_itself() -> None:
    net = fresh()
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    units, relative = units_of(net, None), counted(net)
    with relative.counted():
        moved_by(relative.parameters, 0.01)
    for name, value in net.named_parameters():
        if name.startswith(("weights.", "biases.")):
            assert units[name] > 0
            wanted = before[name] + 0.01 * units[name]
        else:
            wanted = before[name] * math.exp(0.01)
        torch.testing.assert_close(value.detach(), wanted, rtol=1e-5, atol=1e-7)
    weights = before["weights.set_block2_conv1"]
    assert units["weights.set_block2_conv1"] == pytest.approx(weights.square().mean().sqrt().item(), rel=1e-5)


def test_gradients_are_those_by_relative_units() -> None:
    """Moving every number by a little of its unit changes the loss by the sum of the scaled gradients."""
    net = fresh()
    relative = counted(net)
    frames = torch.from_numpy(clips(1, 2)[0])[None]
    net(frames).square().mean().backward()
    plain = {name: value.grad.clone() for name, value in net.named_parameters()}
    units = units_of(net, None)
    relative.scale_gradients()
    for name, value in net.named_parameters():
        torch.testing.assert_close(value.grad, plain[name] * units.get(name, value.detach()))


def test_a_step_at_most_halves_or_doubles_and_stays_positive() -> None:
    net = fresh()
    relative = counted(net)
    step = net.steps["embedding"].detach().clone()
    weight_step = net.weight_steps["set_block1_conv1"].detach().clone()
    with relative.counted():
        moved_by([net.steps["embedding"]], -30)
        moved_by([net.weight_steps["set_block1_conv1"]], 30)
    torch.testing.assert_close(net.steps["embedding"].detach(), step / 2)
    torch.testing.assert_close(net.weight_steps["set_block1_conv1"].detach(), weight_step * 2)


def test_every_parameter_is_trained_once_the_classifiers_too() -> None:
    net, head = fresh(), nn.Linear(2, 2)
    nn.init.zeros_(head.bias)
    relative = counted(net, head)
    assert {id(p) for p in relative.parameters} == {id(p) for p in [*net.parameters(), *head.parameters()]}
    assert len(relative.parameters) == len([*net.parameters(), *head.parameters()])
    assert units_of(net, head)["head.bias"] == 1  # it can leave zero


def test_units_of_another_network_are_refused() -> None:
    net = fresh()
    units = units_of(net, None)
    for wrong in ({}, units | {"weights.more": 1.0}, units | {"weights.embedding": math.nan}):
        with pytest.raises(ValueError, match="another network"):
            RelativeUnits(net, None, wrong)


def test_a_dead_channel_keeps_a_step_for_its_bias() -> None:
    net = fresh()
    name = "set_block1_conv2"
    layer = next(layer for layer in net.layers if layer.name == name)
    with torch.no_grad():
        parameter(net.weight_steps, name)[3] = 1e-12
        parameter(net.biases, name)[3] = 0.5
        parameter(net.weight_steps, name)[4] = 1e-8
        parameter(net.biases, name)[4] = 50
    with pytest.raises(QgaitError, match=f"{name} cannot be rescaled by integers.*needs a shift outside"):
        fold(net)
    untouched = parameter(net.weight_steps, name)[2].item()
    with counted(net).counted():
        pass
    check_graph(fold(net))
    assert net.bias_integers(layer)[4].item() == pytest.approx(LARGEST_BIAS, rel=1e-5)
    assert parameter(net.weight_steps, name)[2].item() == untouched
