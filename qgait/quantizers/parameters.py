"""The learned numbers of a simulated network: their names, and whose they are where layers share them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from qgait.models.layers import Layer


def weight_owner(layer: Layer) -> str:
    """The layer whose weight, bias and weight steps ``layer`` has: itself, or the one that it shares them with."""
    return layer.shares or layer.name


def weight_layers(layers: Sequence[Layer]) -> list[Layer]:
    """The layers with a weight of their own."""
    return [layer for layer in layers if layer.weight is not None and not layer.shares]


def only(step: Tensor) -> Tensor:
    """The one step of a map, or of parts that share it."""
    return step[0] if step.ndim else step


def initial_bias(layer: Layer) -> Tensor:
    """The layer's bias or zeros: [O] of a convolution, [P, O] of a part_linear."""
    if layer.bias is not None:
        return layer.bias
    assert layer.weight is not None
    shape = layer.weight.shape
    return torch.zeros(shape[0] if layer.kind == "conv" else (shape[0], shape[2]))


def beside_weight(layer: Layer, step: Tensor) -> Tensor:
    """Weight steps [O] or [P, O] in a form that broadcasts against the weight [O, I, KH, KW] or [P, I, O]."""
    return step.view(-1, 1, 1, 1) if layer.kind == "conv" else step.unsqueeze(1)


def parameters(tensors: dict[str, Tensor | None]) -> nn.ParameterDict:
    """Float32 parameters under the names of layers or tensors."""
    return nn.ParameterDict(
        {
            parameter_key(key): nn.Parameter(value.detach().float().clone())
            for key, value in tensors.items()
            if value is not None
        }
    )


def parameter_key(name: str) -> str:
    """A layer's or tensor's name as torch allows it: parameter names may not hold dots."""
    return name.replace(".", "/")


def parameter(tensors: nn.ParameterDict, name: str) -> Tensor:
    return tensors[parameter_key(name)]
