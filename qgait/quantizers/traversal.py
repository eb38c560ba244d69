"""Running a list of layers over clips, in whatever arithmetic: float, simulated, or observed.

Per-frame values are [n, s, C, H, W] or [n, s, P, C], clip values [n, C, H, W] or [n, P, C]. Clips are cut into chunks
of frames; windows keep the neighbours that they need and set pooling a running maximum, so that memory does not grow
with the length of a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from qgait.models.clips import Pieces, Time, WholeClips, Window, repeat_short
from qgait.models.float_ops import stack
from qgait.models.layers import INPUT, Layer
from qgait.models.series import WINDOWS, min_frames


class Arithmetic(Protocol):
    """The layers that compute; choosing, pooling and joining values are the same in every arithmetic."""

    def input(self, frames: Tensor) -> Tensor:
        """Silhouettes [n, s, H, W] with values 0..255 to the network's first value [n, s, 1, H, W]."""

    def conv(self, layer: Layer, x: Tensor) -> Tensor:
        """[n, I, H, W] -> [n, O, H', W'], activation included."""

    def add(self, layer: Layer, a: Tensor, b: Tensor) -> Tensor:
        """Two maps or parts of one shape."""

    def multiply(self, layer: Layer, a: Tensor, gate: Tensor) -> Tensor:
        """Two tensors that broadcast: a gate of parts comes as [n, C, 1, 1] where ``a`` is a map."""

    def strip_pool(self, layer: Layer, x: Tensor) -> Tensor:
        """[n, C, H, W] -> [n, P, C]."""

    def gem_pool(self, layer: Layer, x: Tensor) -> Tensor:
        """[n, C, H, W] -> [n, R, C]."""

    def window_pool(self, layer: Layer, total: Tensor, top: Tensor) -> Tensor:
        """Sum and maximum of ``layer.size`` neighbours to their mean + maximum, of maps or parts."""

    def part_linear(self, layer: Layer, x: Tensor) -> Tensor:
        """[n, P, I] -> [n, P, O]."""


def strips(layer: Layer, x: Tensor) -> list[tuple[int, Tensor, Tensor]]:
    """For each number of bins: (size of a strip, sums [n, b, C], maxima [n, b, C])."""
    height = x.shape[2]
    result = []
    for bins in layer.bins:
        flat = x.unflatten(2, (bins, height // bins)).flatten(3)
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

    Clips of several ``lengths`` come one after the other, [1, sum(lengths), H, W], and are not cut into chunks. Clips
    that are too short for the layers' windows are repeated.
    """
    if lengths is not None and chunk is not None:
        raise ValueError("clips of several lengths are run whole: give lengths or chunk")
    frames, lengths = repeat_short(frames, min_frames(layers), lengths)
    per_frame = {INPUT} | {layer.name for layer in layers if layer.per_frame}
    last_reader = {name: layer.name for layer in layers for name in layer.inputs}
    pooled: dict[str, Tensor] = {}
    chunks = frames.split(chunk or frames.shape[1], dim=1)
    pieces = Pieces()
    time: Time = pieces if len(chunks) > 1 else WholeClips(lengths)

    def step(layer: Layer, values: dict[str, Tensor]) -> None:
        inputs = [values[name] for name in layer.inputs]
        value = _apply(layer, inputs, arithmetic, layer.inputs[0] in per_frame, time)
        if observe is not None:
            observe(layer.name, value)
        for name in layer.inputs:
            if last_reader[name] == layer.name:
                values.pop(name, None)
        (pooled if layer.kind == "frame_max" else values)[layer.name] = value

    for number, part in enumerate(chunks, 1):
        pieces.last = number == len(chunks)
        values = {INPUT: arithmetic.input(part)}
        for layer in layers:
            if layer.inputs[0] in per_frame:
                step(layer, values)
    for layer in layers:
        if layer.inputs[0] not in per_frame:
            step(layer, pooled)
    return pooled[layers[-1].name]


def _apply(layer: Layer, inputs: Sequence[Tensor], arithmetic: Arithmetic, per_frame: bool, time: Time) -> Tensor:
    if layer.kind == "frame_max":
        return time.maximum(layer.name, inputs[0], lambda clip: clip.amax(1))  # ties share the gradient
    if layer.kind in WINDOWS:
        return _windows(layer, inputs[0], arithmetic, time)
    if per_frame and len(inputs) > 1:
        inputs = time.joined(layer.name, [time.frames(x) for x in inputs])
    batch = inputs[0].shape[:2]
    if per_frame:
        inputs = [x.flatten(0, 1) for x in inputs]
    value = _compute(layer, inputs, arithmetic)
    return value.unflatten(0, batch) if per_frame else value


def _compute(layer: Layer, inputs: Sequence[Tensor], arithmetic: Arithmetic) -> Tensor:
    x = inputs[0]
    match layer.kind:
        case "conv":
            return arithmetic.conv(layer, x)
        case "add":
            return arithmetic.add(layer, x, inputs[1])
        case "multiply":
            gate = inputs[1]
            return arithmetic.multiply(layer, x, gate if gate.ndim == x.ndim else gate[:, 0, :, None, None])
        case "max_pool":
            return F.max_pool2d(x, layer.kernel)
        case "row_slice":
            return x[:, :, layer.start : layer.stop]
        case "strip_pool":
            return arithmetic.strip_pool(layer, x)
        case "gem_pool":
            return arithmetic.gem_pool(layer, x)
        case "concat":
            return torch.cat(list(inputs), -2)
        case "part_linear":
            return arithmetic.part_linear(layer, x)
    raise TypeError(f"layer {layer.name} is of unknown kind {layer.kind}")


def _windows(layer: Layer, x: Tensor, arithmetic: Arithmetic, time: Time) -> Tensor:
    """Missing values are zero, integer 0 in every arithmetic; maxima do without them."""
    window = Window(layer.size, layer.frames_stride, layer.frames_padding)
    missing = 0.0 if layer.kind == "window" else float("-inf")
    cuts = [window.cut(clip) for clip in time.padded(layer.name, x, window, missing)]
    if layer.kind == "window":
        return torch.cat([stack(cut) for cut in cuts], 1)
    top = torch.cat([cut.amax(-1) for cut in cuts], 1)
    if layer.kind == "window_max":
        return top
    wide = torch.promote_types(x.dtype, torch.float32)
    total = torch.cat([cut.masked_fill(cut.isinf(), 0).sum(-1, dtype=wide) for cut in cuts], 1)
    return arithmetic.window_pool(layer, total.flatten(0, 1), top.flatten(0, 1)).unflatten(0, top.shape[:2])


def groups(layer: Layer, x: Tensor) -> int:
    """1 of a convolution that sums over all channels; their number where each has a kernel of its own."""
    assert layer.weight is not None
    return x.shape[1] // layer.weight.shape[1]


def pad(layer: Layer, x: Tensor) -> Tensor:
    """Zero padding; zero is integer 0 in every arithmetic."""
    top, left, bottom, right = layer.padding
    return F.pad(x, (left, right, top, bottom))
