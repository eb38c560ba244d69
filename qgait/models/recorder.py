"""The operators as a list of layers, batch norms folded: what quantization and export start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from qgait.models.layers import INPUT, Layer


class Recorder:
    """See ``qgait.models.operators``; tensors are their names."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self._per_frame = {INPUT: True}
        self._weights: dict[tuple[int, int], Layer] = {}  # by the modules that they are of

    def conv(
        self, x: str, name: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None, activation: str = "none"
    ) -> str:
        """See ``Operators.conv``."""
        return self._conv(x, name, conv, norm, activation)

    def conv3d(
        self, x: str, name: str, conv: nn.Conv3d, norm: nn.BatchNorm3d | None = None, activation: str = "none"
    ) -> str:
        """See ``Operators.conv3d``."""
        size, stride, padding = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
        if (size, stride, padding) != (1, 1, 0):
            x = self.window(x, f"{name}.window", size, stride, padding)
        return self._conv(x, name, conv, norm, activation)

    def _conv(self, x: str, name: str, conv: nn.Conv2d | nn.Conv3d, norm: nn.Module | None, activation: str) -> str:
        depthwise = isinstance(conv, nn.Conv2d) and conv.groups == conv.in_channels == conv.out_channels
        if not (conv.groups == 1 or depthwise) or set(conv.dilation) != {1} or conv.padding_mode != "zeros":
            raise ValueError(f"{name}: grouped, dilated and unusually padded convolutions have no integer form here")
        same = self._weights.get((id(conv), id(norm)))
        weight, bias = (same.weight, same.bias) if same else fold(conv, norm)
        p, q = (int(value) for value in conv.padding[-2:])
        stride, shares = (conv.stride[-2], conv.stride[-1]), same.name if same else ""
        layer = Layer(
            "conv", name, (x,), self._per_frame[x], activation, weight, bias, stride, (p, q, p, q), shares=shares
        )
        self._weights.setdefault((id(conv), id(norm)), layer)
        return self._record(layer)

    def add(self, a: str, b: str, name: str, activation: str = "none") -> str:
        """See ``Operators.add``."""
        return self._simple("add", name, (a, b), activation=activation)

    def multiply(self, a: str, gate: str, name: str) -> str:
        """See ``Operators.multiply``."""
        return self._simple("multiply", name, (a, gate))

    def max_pool(self, x: str, name: str, kernel: int) -> str:
        """See ``Operators.max_pool``."""
        return self._simple("max_pool", name, (x,), kernel=kernel)

    def frame_max(self, x: str, name: str) -> str:
        """See ``Operators.frame_max``."""
        self._needs_frames(x, name)
        return self._record(Layer("frame_max", name, (x,), False))

    def window(self, x: str, name: str, size: int, stride: int = 1, padding: int = 0) -> str:
        """See ``Operators.window``."""
        return self._window("window", x, name, size, stride, padding)

    def window_max(self, x: str, name: str, size: int, stride: int = 1, padding: int = 0) -> str:
        """See ``Operators.window_max``."""
        return self._window("window_max", x, name, size, stride, padding)

    def window_pool(self, x: str, name: str, size: int) -> str:
        """See ``Operators.window_pool``."""
        return self._window("window_pool", x, name, size, 1, size // 2)

    def row_slice(self, x: str, name: str, start: int, stop: int) -> str:
        """See ``Operators.row_slice``."""
        return self._simple("row_slice", name, (x,), start=start, stop=stop)

    def strip_pool(self, x: str, name: str, bins: Sequence[int], kind: str = "mean_max") -> str:
        """See ``Operators.strip_pool``."""
        return self._simple("strip_pool", name, (x,), bins=tuple(bins), pool=kind)

    def gem_pool(self, x: str, name: str, rows: Sequence[int], powers: Sequence[nn.Parameter]) -> str:
        """See ``Operators.gem_pool``."""
        values = [p.item() for p in powers]
        each = tuple(values if len(values) == len(rows) else values * len(rows))
        return self._simple("gem_pool", name, (x,), rows=tuple(rows), powers=each)

    def concat(self, xs: Sequence[str], name: str) -> str:
        """See ``Operators.concat``."""
        return self._simple("concat", name, tuple(xs))

    def part_linear(
        self,
        x: str,
        name: str,
        weight: torch.Tensor,
        bias: torch.Tensor | None = None,
        norm: nn.BatchNorm1d | None = None,
        activation: str = "none",
    ) -> str:
        """See ``Operators.part_linear``."""
        parts, _, outputs = weight.shape
        matrix, offset = _copied(weight), None if bias is None else _copied(bias)
        if norm is not None:
            factor, shift = (
                value.expand(parts, outputs) if len(value) == outputs else value.view(outputs, parts).T
                for value in _norm_factors(norm)
            )
            matrix, offset = matrix * factor[:, None], shift if offset is None else offset * factor + shift
        return self._simple("part_linear", name, (x,), activation=activation, weight=matrix, bias=offset)

    def _simple(self, kind: str, name: str, inputs: tuple[str, ...], **fields: Any) -> str:
        if len({self._per_frame[x] for x in inputs}) > 1:
            raise ValueError(f"{name}: a frame's tensor and a clip's tensor cannot be joined")
        return self._record(Layer(kind, name, inputs, self._per_frame[inputs[0]], **fields))

    def _window(self, kind: str, x: str, name: str, size: int, stride: int, padding: int) -> str:
        self._needs_frames(x, name)
        return self._simple(kind, name, (x,), size=size, frames_stride=stride, frames_padding=padding)

    def _needs_frames(self, x: str, name: str) -> None:
        if not self._per_frame[x]:
            raise ValueError(f"{name}: {x!r} has no frames to look at")

    def _record(self, layer: Layer) -> str:
        if layer.name in self._per_frame:
            raise ValueError(f"two layers are called {layer.name!r}")
        self._per_frame[layer.name] = layer.per_frame
        self.layers.append(layer)
        return layer.name


def fold(conv: nn.Conv2d | nn.Conv3d, norm: nn.Module | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(weight, bias [O] or None) in float64 of a convolution followed by batch norm in eval mode.

    The weight is OIHW; of a 3-D convolution [O, kt * I, kh, kw], for frames side by side.
    """
    weight = _copied(conv.weight)
    if weight.ndim == 5:
        weight = weight.transpose(1, 2).flatten(1, 2)
    bias = None if conv.bias is None else _copied(conv.bias)
    if norm is None:
        return weight, bias
    factor, shift = _norm_factors(norm)
    return weight * factor[:, None, None, None], shift if bias is None else bias * factor + shift


def _norm_factors(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Batch norm in eval mode is ``x * factor + shift``; both float64 [features]."""
    mean, variance, gamma, beta = map(_copied, (norm.running_mean, norm.running_var, norm.weight, norm.bias))
    factor = gamma / torch.sqrt(variance + norm.eps)
    return factor, beta - mean * factor


def _copied(parameter: torch.Tensor | None) -> torch.Tensor:
    assert parameter is not None, "batch norm without statistics or weights"
    return parameter.detach().to(torch.float64, copy=True)
