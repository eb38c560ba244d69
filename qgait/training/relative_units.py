"""In what a quantized network's parameters are counted while they are trained, so that one learning rate suits all.

Adam moves every number by about its learning rate, whatever its gradient's size. The weights of one layer are a hundred
times those of another, and steps differ more; so a weight is counted in the typical weight of its layer, a bias in a
share of the range of what it is added to, and a step by its logarithm, which also keeps it positive. A rate of 0.003
then moves a weight by 0.3 % of what weights are there, and a step by 0.3 % of itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from qgait.quantizers.deployable import widen_weight_steps
from qgait.quantizers.parameters import parameter_key, weight_layers
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.step_owners import has_table

RANGE = 8  # a bias of 1 moves what it is added to by an eighth of its grid
LARGEST_MOVE = math.log(2)  # a step at most doubles or halves in an iteration
SMALLEST = 1e-8
COUNTED, HEAD = ("weights.", "biases."), "head."

Units = Mapping[str, float]


def units_of(network: SimulatedNetwork, head: nn.Module | None) -> dict[str, float]:
    """The unit of every weight and bias: to be taken before training, and kept.

    By names in ``network``; those of ``head``, a classifier that is trained along, begin with ``head.``.
    """
    units = {}
    for layer in weight_layers(network.layers):
        key = parameter_key(layer.name)
        typical = float(network.weights[key].detach().double().square().mean().sqrt())
        units[f"weights.{key}"] = max(typical, SMALLEST)
        result = f"{layer.name}.pre" if has_table(layer) else layer.name
        grid = network.grid(result)
        spread = float(network.step(result).detach().mean()) * (grid.hi - grid.lo)
        units[f"biases.{key}"] = max(spread / RANGE, SMALLEST)
    for name, value in head.named_parameters() if head is not None else ():
        units[f"{HEAD}{name}"] = float(value.detach().double().square().mean().sqrt()) or 1.0  # a bias may begin at 0
    return units


class RelativeUnits:
    """``units`` are those of ``units_of``; ValueError where they are of other parameters."""

    def __init__(self, network: SimulatedNetwork, head: nn.Module | None, units: Units) -> None:
        named = {name: value for name, value in network.named_parameters() if name.startswith(COUNTED)}
        named |= {f"{HEAD}{name}": value for name, value in head.named_parameters()} if head is not None else {}
        if set(units) != set(named) or not all(0 < unit < math.inf for unit in units.values()):
            raise ValueError("the units are of another network")
        self._network = network
        self._counted = [(value, units[name]) for name, value in named.items()]
        self._steps = [*network.weight_steps.values(), *network.steps.values()]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that is trained."""
        return [*(value for value, _ in self._counted), *self._steps]

    def scale_gradients(self) -> None:
        """Makes the gradients that ``backward`` left those by relative units."""
        pairs = [(value.grad, unit) for value, unit in self._counted if value.grad is not None]
        torch._foreach_mul_([grad for grad, _ in pairs], [unit for _, unit in pairs])
        steps = [(value.grad, value.detach()) for value in self._steps if value.grad is not None]
        torch._foreach_mul_([grad for grad, _ in steps], [value for _, value in steps])

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Around an optimizer's step, which moves parameters by relative amounts; what it makes can be deployed.

        A channel whose weights die takes its step along; its bias, counted in integers, would leave the accumulator, or
        its multiplier the range of shifts. Its step stays large enough for both.
        """
        values, units = [value for value, _ in self._counted], [unit for _, unit in self._counted]
        with torch.no_grad():
            before = [value.clone() for value in values]
            steps = [value.clone() for value in self._steps]
        yield
        with torch.no_grad():
            moved = torch._foreach_sub(values, before)
            torch._foreach_mul_(moved, units)
            torch._foreach_copy_(values, torch._foreach_add(before, moved))
            for now, old in zip(self._steps, steps, strict=True):
                grown = torch.exp((now - old).clamp_(-LARGEST_MOVE, LARGEST_MOVE))
                now.copy_((old * grown).clamp_min_(SMALLEST))
        widen_weight_steps(self._network)
