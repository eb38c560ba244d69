"""How steps learn: the scale of their gradients, their weight decay, and that what they make can be deployed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from qgait.quantizers.deployable import widen_weight_steps
from qgait.quantizers.grid import weight_limit
from qgait.quantizers.parameters import parameter_key, weight_layers
from qgait.quantizers.simulated import SimulatedNetwork

SMALLEST = 1e-8


def gradient_scales(network: SimulatedNetwork, learns_clips: bool) -> dict[str, float]:
    """LSQ's ``1 / sqrt(N * Qp)`` for every step parameter, by its name in ``network``.

    N counts the weights of a channel or the features of one frame (of one part) in the tensor that the step is named
    by; Qp is the largest integer. With ``learns_clips`` activations follow PACT, whose parameter is the clip
    ``alpha = step * Qp``: moving alpha by its own gradient moves the step by the step's gradient over Qp squared.
    """
    scales = {}
    for layer in weight_layers(network.layers):
        assert layer.weight is not None
        features = layer.weight.shape[1:].numel() if layer.kind == "conv" else layer.weight.shape[1]
        scales[f"weight_steps.{parameter_key(layer.name)}"] = 1 / math.sqrt(
            features * weight_limit(network.weight_bits[layer.name])
        )
    for name in set(network.owners.of.values()):
        grid = network.grids[name]
        shape = network.shapes[name.removesuffix(".pre")]
        of_each_part = len(shape) == 2 and name not in network.owners.single
        features = shape[1] if of_each_part else math.prod(shape)
        largest = max(grid.max_integer, 1)
        clips = learns_clips and not name.endswith(".pre")
        scales[f"steps.{parameter_key(name)}"] = 1 / largest**2 if clips else 1 / math.sqrt(features * largest)
    return scales


def scale_gradients(network: SimulatedNetwork, scales: Mapping[str, float]) -> None:
    """Multiplies the gradients that ``backward`` left at the steps."""
    pairs = [(network.get_parameter(name).grad, scale) for name, scale in scales.items()]
    torch._foreach_mul_([g for g, _ in pairs if g is not None], [scale for g, scale in pairs if g is not None])


@contextmanager
def deployable_steps(network: SimulatedNetwork) -> Iterator[None]:
    """Around an optimizer's step: what it makes of the steps remains a network of the integer rule.

    A step may at most halve in one iteration, so none ever reaches zero. A channel whose weights die takes its step
    along; its bias, counted in integers, would leave the accumulator, or its multiplier the range of shifts. Its step
    stays large enough for both.
    """
    steps = [*network.weight_steps.values(), *network.steps.values()]
    with torch.no_grad():
        halves = torch._foreach_mul([*steps], 0.5)
    yield
    with torch.no_grad():
        torch._foreach_clamp_min_(halves, SMALLEST)
        torch._foreach_maximum_([*steps], halves)
    widen_weight_steps(network)


def parameter_groups(
    network: SimulatedNetwork, head: torch.nn.Module | None, weight_decay: float, learns_clips: bool
) -> list[dict[str, object]]:
    """For an optimizer. Weights, biases and the classifier decay; steps do not, except PACT's clips."""
    decaying = [*network.weights.values(), *network.biases.values(), *(head.parameters() if head is not None else ())]
    clips = [value for key, value in network.steps.items() if learns_clips and not key.endswith("/pre")]
    kept = [value for value in network.steps.values() if not any(value is clip for clip in clips)]
    groups: list[dict[str, object]] = [
        {"params": [*decaying, *clips], "weight_decay": weight_decay},
        {"params": [*network.weight_steps.values(), *kept], "weight_decay": 0.0},
    ]
    return groups
