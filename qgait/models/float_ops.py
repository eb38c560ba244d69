"""The operators computed in torch, on whatever device and dtype the tensors have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qgait.models.clips import Time, WholeClips, Window
from qgait.models.layers import GEM_FLOOR, activate


class FloatOps:
    """See ``qgait.models.operators``. Clips are whole, of one length or of several ``lengths``, or come as ``time``."""

    def __init__(self, lengths: Sequence[int] | None = None, time: Time | None = None) -> None:
        self._time = time or WholeClips(lengths)

    def conv(
        self, x: Tensor, name: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None, activation: str = "none"
    ) -> Tensor:
        """See ``Operators.conv``."""
        y = conv(x.flatten(0, -4))
        if norm is not None:
            y = norm(y)
        return activate(y, activation).unflatten(0, x.shape[:-3])

    def conv3d(
        self, x: Tensor, name: str, conv: nn.Conv3d, norm: nn.BatchNorm3d | None = None, activation: str = "none"
    ) -> Tensor:
        """See ``Operators.conv3d``."""
        window = Window(conv.kernel_size[0], conv.stride[0], int(conv.padding[0]))
        clips = self._time.padded(f"{name}.window", x, window)
        y = torch.cat([_conv3d(clip, conv, window) for clip in clips], dim=1)
        if norm is not None:
            y = norm(y.transpose(1, 2)).transpose(1, 2)
        return activate(y, activation)

    def add(self, a: Tensor, b: Tensor, name: str, activation: str = "none") -> Tensor:
        """See ``Operators.add``."""
        a, b = self._joined(name, (a, b))
        return activate(a + b, activation)

    def multiply(self, a: Tensor, gate: Tensor, name: str) -> Tensor:
        """See ``Operators.multiply``."""
        a, gate = self._joined(name, (a, gate))
        return a * (gate if gate.ndim == a.ndim else gate.squeeze(-2)[..., None, None])

    def max_pool(self, x: Tensor, name: str, kernel: int) -> Tensor:
        """See ``Operators.max_pool``."""
        return F.max_pool2d(x.flatten(0, -4), kernel).unflatten(0, x.shape[:-3])

    def frame_max(self, x: Tensor, name: str) -> Tensor:
        """See ``Operators.frame_max``. Like OpenGait's ``max(dim)``, the gradient goes to one frame, not to ties."""
        return self._time.maximum(name, x, lambda clip: clip.max(dim=1).values)

    def window(self, x: Tensor, name: str, size: int, stride: int = 1, padding: int = 0) -> Tensor:
        """See ``Operators.window``."""
        window = Window(size, stride, padding)
        return torch.cat([stack(window.cut(clip)) for clip in self._time.padded(name, x, window)], dim=1)

    def window_max(self, x: Tensor, name: str, size: int, stride: int = 1, padding: int = 0) -> Tensor:
        """See ``Operators.window_max``. The gradient goes to one frame."""
        window = Window(size, stride, padding)
        clips = self._time.padded(name, x, window, float("-inf"))
        return torch.cat([window.cut(clip).max(-1).values for clip in clips], dim=1)

    def window_pool(self, x: Tensor, name: str, size: int) -> Tensor:
        """See ``Operators.window_pool``."""
        window = Window(size, 1, size // 2)
        cuts = [window.cut(clip) for clip in self._time.padded(name, x, window, float("-inf"))]
        return torch.cat([cut.masked_fill(cut.isinf(), 0).mean(-1) + cut.max(-1).values for cut in cuts], dim=1)

    def row_slice(self, x: Tensor, name: str, start: int, stop: int) -> Tensor:
        """See ``Operators.row_slice``."""
        return x[..., start:stop, :]

    def strip_pool(self, x: Tensor, name: str, bins: Sequence[int], kind: str = "mean_max") -> Tensor:
        """See ``Operators.strip_pool``."""
        height = x.shape[-2]
        parts = []
        for b in bins:
            strips = x.unflatten(-2, (b, height // b)).flatten(-2)
            parts.append(strips.mean(-1) + strips.max(-1).values if kind == "mean_max" else strips.mean(-1))
        return torch.cat(parts, dim=-1).transpose(-1, -2)

    def gem_pool(self, x: Tensor, name: str, rows: Sequence[int], powers: Sequence[nn.Parameter]) -> Tensor:
        """See ``Operators.gem_pool``."""
        each = powers if len(powers) == len(rows) else [powers[0]] * len(rows)
        regions = x.clamp_min(GEM_FLOOR).split(list(rows), dim=-2)
        means = [region.pow(p).mean((-1, -2)).pow(1 / p) for region, p in zip(regions, each, strict=True)]
        return torch.stack(means, dim=-2)

    def concat(self, xs: Sequence[Tensor], name: str) -> Tensor:
        """See ``Operators.concat``."""
        return torch.cat(list(self._joined(name, xs)), dim=-2)

    def part_linear(
        self,
        x: Tensor,
        name: str,
        weight: Tensor,
        bias: Tensor | None = None,
        norm: nn.BatchNorm1d | None = None,
        activation: str = "none",
    ) -> Tensor:
        """See ``Operators.part_linear``."""
        flat = x.flatten(0, -3)
        y = torch.matmul(flat.transpose(0, 1), weight).transpose(0, 1)
        if bias is not None:
            y = y + bias
        if norm is not None:
            channels = y.transpose(1, 2)
            shared = norm.num_features == channels.shape[1]
            y = norm(channels if shared else channels.flatten(1)).reshape(channels.shape).transpose(1, 2)
        return activate(y, activation).unflatten(0, x.shape[:-2])

    def _joined(self, name: str, xs: Sequence[Tensor]) -> Sequence[Tensor]:
        return self._time.joined(name, xs)


def stack(cut: Tensor) -> Tensor:
    """Windows [n, L, C, H, W, size] or [n, L, P, C, size] -> the neighbours' channels side by side, oldest first."""
    channels = 2 if cut.ndim == 6 else 3
    return cut.movedim(-1, channels).flatten(channels, channels + 1)


def _conv3d(clip: Tensor, conv: nn.Conv3d, window: Window) -> Tensor:
    """A padded clip [n, L, C, H, W] -> [n, L', O, H', W']; a piece of a clip may make no value."""
    padding, stride = (0, *conv.padding[1:]), conv.stride
    if clip.shape[1] < window.size:
        flat = stack(window.cut(clip))
        weight = conv.weight.transpose(1, 2).flatten(1, 2)
        y = F.conv2d(flat.flatten(0, 1), weight, None, stride[1:], padding[1:])
        return y.unflatten(0, flat.shape[:2])
    return F.conv3d(clip.transpose(1, 2), conv.weight, conv.bias, stride, padding).transpose(1, 2)
