"""Weight steps that leave a network within the integer rule."""

from __future__ import annotations

import torch

from qgait.fixedpoint import MAX_ACCUMULATOR
from qgait.quantizers.parameters import parameter, weight_owner
from qgait.quantizers.simulated import SimulatedNetwork

SMALLEST_MULTIPLIER = 2.0**-31  # the integer rule's largest shift is good for half of it
LARGEST_BIAS = MAX_ACCUMULATOR // 4  # in integers; what is left is more than the products of any layer need
SMALLEST_FLOAT = 2.0**-149  # a multiplier below it is 0 in float32


def widen_weight_steps(network: SimulatedNetwork) -> None:
    """Makes weight steps so large that biases, in integers, fit into accumulators and multipliers have a shift.

    An input that is all but zero, or a channel whose weights are, has steps that are too small for both.
    """
    with torch.no_grad():
        for layer in network.layers:
            if layer.weight is not None:
                step = parameter(network.weight_steps, weight_owner(layer))
                bias = parameter(network.biases, weight_owner(layer)).double().abs()
                integers = bias / network.accumulator_step(layer)
                small = SMALLEST_MULTIPLIER / network.multiplier(layer).clamp_min(SMALLEST_FLOAT)
                step.mul_(torch.maximum(integers / LARGEST_BIAS, small).clamp_min(1).float())
