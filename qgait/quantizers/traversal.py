"""Running a list of layers over clips, in whatever arithmetic: float, simulated, or observed.

Per-frame values are [n, s, C, H, W], clip values [n, C, H, W] or parts [n, P, C]. Clips are cut into chunks of frames
and set pooling keeps a running maximum, so that memory does not grow with the length of a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from qgait.models.layers import INPUT, Layer, part_clips


class Arithmetic(Protocol):
    """The layers that compute; pooling and joining are the same in every arithmetic."""

    def input(self, frames: Tensor) -> Tensor:
        """Silhouettes [n, s, H, W] with values 0..255 to the network's first value [n, s, 1, H, W]."""

    def conv(self, layer: Layer, x: Tensor) -> Tensor:
        """[n, I, H, W] -> [n, O, H', W'], activation included."""

    def add(self, layer: Layer, a: Tensor, b: Tensor) -> Tensor:
        """Two maps of one shape."""

    def strip_pool(self, layer: Layer, x: Tensor) -> Tensor:
        """[n, C, H, W] -> [n, P, C]."""

    def part_linear(self, layer: Layer, x: Tensor) -> Tensor:
        """[n, P, I] -> [n, P, O]."""


def strips(layer: Layer, x: Tensor) -> list[tuple[int, Tensor, Tensor]]:
    """For each number of bins: (size of a strip, sums [n, b, C], maxima [n, b, C])."""
    n, channels = x.shape[:2]
    result = []
    for bins in layer.bins:
        flat = x.reshape(n, channels, bins, -1)
        result.append((flat.shape[3], flat.sum(3).transpose(1, 2), flat.amax(3).transpose(1, 2)))
    return result


def run(
    layers: list[Layer],
    frames: Tensor,
    arithmetic: Arithmetic,
    chunk: int | None = None,
    observe: Callable[[str, Tensor], None] | None = None,
    lengths: Sequence[int] | None = None,
) -> Tensor:
    """The last layer's value for silhouettes [n, s, H, W]; ``chunk`` bounds the frames that are in memory at once.

    Clips of several ``lengths`` come one after the other, [1, sum(lengths), H, W], and are not cut into chunks.
    """
    if lengths is not None and chunk is not None:
        raise ValueError("clips of several lengths are run whole: give lengths or chunk")
    per_frame = {INPUT} | {layer.name for layer in layers if layer.per_frame}
    last_reader = {name: layer.name for layer in layers for name in layer.inputs}
    pooled: dict[str, Tensor] = {}

    def step(layer: Layer, values: dict[str, Tensor]) -> None:
        inputs = [values[name] for name in layer.inputs]
        value = _apply(layer, inputs, arithmetic, layer.inputs[0] in per_frame, lengths)
        if observe is not None:
            observe(layer.name, value)
        for name in layer.inputs:
            if last_reader[name] == layer.name:
                values.pop(name, None)
        if layer.kind == "frame_max":
            pooled[layer.name] = torch.maximum(pooled[layer.name], value) if layer.name in pooled else value
        else:
            values[layer.name] = value

    for part in frames.split(chunk or frames.shape[1], dim=1):
        values = {INPUT: arithmetic.input(part)}
        for layer in layers:
            if layer.inputs[0] in per_frame:
                step(layer, values)
    for layer in layers:
        if layer.inputs[0] not in per_frame:
            step(layer, pooled)
    return pooled[layers[-1].name]


def _apply(
    layer: Layer, inputs: list[Tensor], arithmetic: Arithmetic, per_frame: bool, lengths: Sequence[int] | None
) -> Tensor:
    if layer.kind == "frame_max":
        return torch.cat([clip.amax(1) for clip in part_clips(inputs[0], lengths)])
    batch = inputs[0].shape[:2]
    if per_frame:
        inputs = [x.flatten(0, 1) for x in inputs]
    match layer.kind:
        case "conv":
            value = arithmetic.conv(layer, inputs[0])
        case "add":
            value = arithmetic.add(layer, inputs[0], inputs[1])
        case "max_pool":
            value = F.max_pool2d(inputs[0], layer.kernel)
        case "strip_pool":
            value = arithmetic.strip_pool(layer, inputs[0])
        case "concat":
            value = torch.cat(inputs, 1)
        case "part_linear":
            value = arithmetic.part_linear(layer, inputs[0])
        case _:
            raise TypeError(f"layer {layer.name} is of unknown kind {layer.kind}")
    return value.unflatten(0, batch) if per_frame else value


def pad(layer: Layer, x: Tensor) -> Tensor:
    """Zero padding; zero is level 0 in every arithmetic."""
    top, left, bottom, right = layer.padding
    return F.pad(x, (left, right, top, bottom))
