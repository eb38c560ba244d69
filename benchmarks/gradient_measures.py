"""What ``gradient_diagnostics.py`` measures of a network on its grids."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from qgait.losses.triplet import triplet_loss
from qgait.models.layers import Layer, activate
from qgait.quantizers import traversal
from qgait.quantizers.grid import weight_limit
from qgait.quantizers.integer_arithmetic import IntegerArithmetic
from qgait.quantizers.parameters import parameter_key
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.surrogates import Soft, Surrogates

BINS = 10  # of the distance to the grid, 0 .. 1/2


def _narrow(network: SimulatedNetwork) -> list[Layer]:
    """Layers whose weights have the recipe's bits."""
    return [layer for layer in network.layers if network.weight_bits.get(layer.name) == network.recipe.weights]


def weight_integers(network: SimulatedNetwork) -> Tensor:
    """Of all layers with the recipe's bits, in one row of int8."""
    with torch.no_grad():
        return torch.cat([network.weight_integers(layer).flatten() for layer in _narrow(network)]).to(torch.int8)


def distances(network: SimulatedNetwork, frames: Tensor) -> dict[str, list[float]]:
    """Density of |u - round(u)| of values inside the grid, 1 where it is uniform: of weights, and of activations."""
    weights, activations = [], []
    for layer in _narrow(network):
        step = network.weight_steps[parameter_key(layer.name)].detach().double().view(-1, 1, 1, 1)
        u = (network.weights[parameter_key(layer.name)].detach().double() / step).flatten()
        weights.append(u[u.abs() <= weight_limit(network.weight_bits[layer.name])])

    def observe(name: str, integers: Tensor) -> None:
        layer = name.removesuffix(".pre")
        grid = network.grids[layer]
        if grid.max_integer - grid.min_integer + 1 == 2**network.recipe.activations:
            ratio = float(network.step(name) / network.step(layer))
            u = activate(integers.double() * ratio, "leaky_relu").flatten()
            activations.append(u[(u >= grid.min_integer) & (u <= grid.max_integer) & (integers.flatten() != 0)])

    with torch.no_grad():
        traversal.run(network.layers, frames.float(), IntegerArithmetic(network, torch.float32, observe))
    return {"weights": _density(torch.cat(weights)), "activations": _density(torch.cat(activations))}


def _density(u: Tensor) -> list[float]:
    counts = torch.histc((u - torch.floor(u + 0.5)).abs(), BINS, 0, 0.5)
    return [round(float(c) * BINS / u.numel(), 4) for c in counts]


def level_gradients(network: SimulatedNetwork, frames: Tensor, labels: Tensor, k: float) -> dict[str, Tensor]:
    """The gradient of the integers that every convolution of a frame gives out, flat."""
    network = copy.deepcopy(network)
    network.surrogates = Surrogates(Soft(k), Soft(k))
    seen: dict[str, Tensor] = {}

    def observe(name: str, value: Tensor) -> None:
        if network.weights.get(parameter_key(name)) is not None and value.requires_grad:
            value.retain_grad()
            seen[name] = value

    integers = traversal.run(network.layers, frames.float(), IntegerArithmetic(network, torch.float32), observe=observe)
    loss, _ = triplet_loss(integers * network.embedding_step().float()[:, None], labels)
    loss.backward()
    return {name: value.grad.double().flatten() for name, value in seen.items() if value.grad is not None}


def ratios(layers: list[Layer], gradients: dict[float, dict[str, Tensor]]) -> list[dict[str, Any]]:
    """By layer and k: the gradient's geometric mean and root mean square over those of the smallest k, its direction.

    With them what a single way through L roundings would have: ``exp(L E[ln g])`` and ``E[g**2] ** (L / 2)``.
    """
    plain = gradients[min(gradients)]
    rows = []
    for name, reference in plain.items():
        for k, by_layer in gradients.items():
            gradient, length = by_layer[name], _roundings(layers, name)
            both = (gradient != 0) & (reference != 0)
            log = gradient[both].abs().log().mean() - reference[both].abs().log().mean()
            f = torch.linspace(0, 1, 100_001, dtype=torch.float64)[:-1]
            g = Soft(k).backward(torch.ones_like(f), f, 1)
            rows.append(
                {
                    "layer": name,
                    "k": k,
                    "roundings": length,
                    "geometric_mean": float(log.exp()),
                    "expected_geometric_mean": float((g.log().mean() * length).exp()),
                    "root_mean_square": float(gradient.norm() / reference.norm()),
                    "expected_root_mean_square": float(g.square().mean() ** (length / 2)),
                    "cosine": float(torch.dot(gradient, reference) / (gradient.norm() * reference.norm())),
                }
            )
    return rows


def _roundings(layers: list[Layer], name: str) -> int:
    """On the longest way from the levels of ``name`` to the embedding, with a soft gradient each."""
    longest = {name: 0}
    for layer in layers:
        ways = [longest[x] for x in layer.inputs if x in longest]
        if ways:
            longest[layer.name] = max(ways) + (layer.kind in ("conv", "add", "strip_pool", "part_linear"))
    return longest[layers[-1].name]
