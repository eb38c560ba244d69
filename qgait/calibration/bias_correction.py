"""Biases such that every channel's mean before the activation is that of the float network."""

from __future__ import annotations

import torch
from torch import Tensor

from qgait.models.layers import Layer
from qgait.quantizers import traversal
from qgait.quantizers.integer_arithmetic import IntegerArithmetic
from qgait.quantizers.parameters import parameter_key, weight_owner
from qgait.quantizers.simulated import SimulatedNetwork


class _CorrectingBiases(IntegerArithmetic):
    """Runs the network once; every layer's bias is corrected before its codes are made and passed on.

    Layers that share a bias need one correction, so the first of them that are met are only measured, and nothing
    behind them is corrected: the network is to be run again, which ``waiting`` tells.
    """

    def __init__(self, network: SimulatedNetwork, means: dict[str, Tensor], done: set[str]) -> None:
        super().__init__(network, torch.float32)
        self.network = network
        self.means, self.done = means, done
        self.shared = {layer.shares for layer in network.layers} - {""}
        self.waiting: str | None = None
        self.missing: list[Tensor] = []

    def requantize(self, layer: Layer, acc: Tensor, bias: Tensor | None) -> Tensor:
        owner = weight_owner(layer)
        if bias is not None and owner not in self.done and self.waiting in (None, owner):
            total = acc + (bias.view(1, -1, 1, 1) if acc.ndim == 4 else bias).to(acc.dtype)
            mean = (total.mean((0, 2, 3)) if total.ndim == 4 else total.mean(0)).double()
            missing = (self.means[layer.name] - mean * self.network.accumulator_step(layer)).float()
            if owner in self.shared:
                self.waiting = owner
                self.missing.append(missing)
            else:
                self.done.add(owner)
                self.network.biases[parameter_key(owner)] += missing
                bias = self.net.bias_integers(layer)
        return super().requantize(layer, acc, bias)


def correct_biases(network: SimulatedNetwork, frames: Tensor, means: dict[str, Tensor]) -> None:
    """Corrects the biases of ``network`` on ``frames`` uint8 [n, s, H, W] to the ``means`` by layer, [O] or [P, O]."""
    done: set[str] = set()
    waiting = True
    while waiting:
        arithmetic = _CorrectingBiases(network, means, done)
        with torch.no_grad():
            traversal.run(network.layers, frames.float(), arithmetic)
            if arithmetic.waiting is not None:
                done.add(arithmetic.waiting)
                network.biases[parameter_key(arithmetic.waiting)] += torch.stack(arithmetic.missing).mean(0)
        waiting = arithmetic.waiting is not None
