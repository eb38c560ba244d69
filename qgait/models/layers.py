"""The operators every backbone is written in, and what can be done with them: compute, or record the topology.

A backbone's ``run(ops, frames)`` calls these operators and nothing else, so one definition serves the float forward,
simulated quantization and the integer export. Blocks follow OpenGait (Fan et al., CVPR 2023).

Tensors: per-frame maps [n, s, C, H, W], clip maps [n, C, H, W], parts [n, P, C].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import nn

INPUT = "silhouette"  # the name of the network's input tensor
FRAME_SHAPE = (64, 44)  # rows, columns of a silhouette
LEAKY_SLOPE = 0.01

T = TypeVar("T")


class Operators(Protocol[T]):
    """What a backbone may call; ``name`` is the layer's and its output's name, unique in the network."""

    def conv(self, x: T, name: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None, activation: str = "none") -> T:
        """Convolution, batch norm, activation (none | relu | leaky_relu, slope 0.01) of frame or clip maps."""

    def add(self, a: T, b: T, name: str, activation: str = "none") -> T:
        """Sum of two maps of one shape, then the activation."""

    def max_pool(self, x: T, name: str, kernel: int) -> T:
        """Maximum over kernel x kernel windows, stride ``kernel``, no padding."""

    def frame_max(self, x: T, name: str) -> T:
        """Set pooling, maximum over the frames of a clip: [n, s, C, H, W] -> [n, C, H, W]."""

    def strip_pool(self, x: T, name: str, bins: Sequence[int]) -> T:
        """Horizontal pyramid pooling, mean + max of each of b strips of rows, for b in bins: -> [n, sum(bins), C]."""

    def concat(self, xs: Sequence[T], name: str) -> T:
        """Joins parts: [n, P1, C], [n, P2, C] -> [n, P1 + P2, C]."""

    def part_linear(self, x: T, name: str, weight: nn.Parameter) -> T:
        """One matrix a part, weight [P, Cin, Cout]: [n, P, Cin] -> [n, P, Cout]."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One recorded operator. Its output tensor bears its name; ``per_frame`` says which kind of map that is.

    ``kind``: conv, add, max_pool, frame_max, strip_pool, concat or part_linear. ``weight`` is float64: OIHW of a conv
    with batch norm folded in, [P, I, O] of a part_linear. ``bias`` is float64 [O] or None.
    ``padding`` is (top, left, bottom, right).
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    per_frame: bool
    activation: str = "none"
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    kernel: int = 0
    bins: tuple[int, ...] = ()


def activate(x: torch.Tensor, activation: str) -> torch.Tensor:
    """The activation called ``activation``."""
    match activation:
        case "none":
            return x
        case "relu":
            return F.relu(x)
        case "leaky_relu":
            return F.leaky_relu(x, LEAKY_SLOPE)
    raise ValueError(f"no activation is called {activation!r}")


class FloatOps:
    """The operators in torch, on whatever device and dtype the tensors have.

    Clips of several ``lengths`` come one after the other, as one clip [1, sum(lengths), ...]; set pooling parts them.
    """

    def __init__(self, lengths: Sequence[int] | None = None) -> None:
        self.lengths = lengths

    def conv(
        self,
        x: torch.Tensor,
        name: str,
        conv: nn.Conv2d,
        norm: nn.BatchNorm2d | None = None,
        activation: str = "none",
    ) -> torch.Tensor:
        """See ``Operators.conv``."""
        y = conv(x.flatten(0, -4))
        if norm is not None:
            y = norm(y)
        return activate(y, activation).unflatten(0, x.shape[:-3])

    def add(self, a: torch.Tensor, b: torch.Tensor, name: str, activation: str = "none") -> torch.Tensor:
        """See ``Operators.add``."""
        return activate(a + b, activation)

    def max_pool(self, x: torch.Tensor, name: str, kernel: int) -> torch.Tensor:
        """See ``Operators.max_pool``."""
        return F.max_pool2d(x.flatten(0, -4), kernel).unflatten(0, x.shape[:-3])

    def frame_max(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """See ``Operators.frame_max``. Like OpenGait's ``max(dim)``, the gradient goes to one frame, not to ties."""
        return torch.cat([clip.max(dim=1).values for clip in part_clips(x, self.lengths)])

    def strip_pool(self, x: torch.Tensor, name: str, bins: Sequence[int]) -> torch.Tensor:
        """See ``Operators.strip_pool``."""
        n, channels = x.shape[:2]
        parts = []
        for b in bins:
            strips = x.reshape(n, channels, b, -1)
            parts.append(strips.mean(-1) + strips.max(-1).values)
        return torch.cat(parts, dim=-1).transpose(1, 2)

    def concat(self, xs: Sequence[torch.Tensor], name: str) -> torch.Tensor:
        """See ``Operators.concat``."""
        return torch.cat(list(xs), dim=1)

    def part_linear(self, x: torch.Tensor, name: str, weight: nn.Parameter) -> torch.Tensor:
        """See ``Operators.part_linear``."""
        return torch.matmul(x.transpose(0, 1), weight).transpose(0, 1)


def part_clips(x: torch.Tensor, lengths: Sequence[int] | None) -> Sequence[torch.Tensor]:
    """The clips in [1, sum(lengths), ...], each [1, length, ...]; without ``lengths`` all of ``x`` as it is."""
    if lengths is None:
        return (x,)
    if x.shape[0] != 1 or x.shape[1] != sum(lengths) or min(lengths, default=0) < 1:
        raise ValueError(f"clips of {list(lengths)} frames cannot be parted in a tensor of shape {tuple(x.shape)}")
    return x.split(list(lengths), dim=1)


class Recorder:
    """The operators as a list of layers; tensors are their names."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self._per_frame = {INPUT: True}

    def _record(self, layer: Layer) -> str:
        if layer.name in self._per_frame:
            raise ValueError(f"two layers are called {layer.name!r}")
        self._per_frame[layer.name] = layer.per_frame
        self.layers.append(layer)
        return layer.name

    def conv(
        self, x: str, name: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None, activation: str = "none"
    ) -> str:
        """See ``Operators.conv``."""
        if conv.groups != 1 or tuple(conv.dilation) != (1, 1):
            raise ValueError(f"{name}: grouped and dilated convolutions have no integer form here")
        weight, bias = fold(conv, norm)
        p, q = conv.padding
        stride = (conv.stride[0], conv.stride[1])
        return self._record(
            Layer("conv", name, (x,), self._per_frame[x], activation, weight, bias, stride, (p, q, p, q))
        )

    def add(self, a: str, b: str, name: str, activation: str = "none") -> str:
        """See ``Operators.add``."""
        if self._per_frame[a] != self._per_frame[b]:
            raise ValueError(f"{name}: a frame's map and a clip's map cannot be added")
        return self._record(Layer("add", name, (a, b), self._per_frame[a], activation))

    def max_pool(self, x: str, name: str, kernel: int) -> str:
        """See ``Operators.max_pool``."""
        return self._record(Layer("max_pool", name, (x,), self._per_frame[x], kernel=kernel))

    def frame_max(self, x: str, name: str) -> str:
        """See ``Operators.frame_max``."""
        if not self._per_frame[x]:
            raise ValueError(f"{name}: {x!r} has no frames to take the maximum of")
        return self._record(Layer("frame_max", name, (x,), False))

    def strip_pool(self, x: str, name: str, bins: Sequence[int]) -> str:
        """See ``Operators.strip_pool``."""
        return self._record(Layer("strip_pool", name, (x,), self._per_frame[x], bins=tuple(bins)))

    def concat(self, xs: Sequence[str], name: str) -> str:
        """See ``Operators.concat``."""
        return self._record(Layer("concat", name, tuple(xs), self._per_frame[xs[0]]))

    def part_linear(self, x: str, name: str, weight: nn.Parameter) -> str:
        """See ``Operators.part_linear``."""
        return self._record(Layer("part_linear", name, (x,), self._per_frame[x], weight=_copied(weight)))


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(weight OIHW, bias [O] or None) in float64 of a convolution followed by batch norm in eval mode."""
    weight = _copied(conv.weight)
    bias = None if conv.bias is None else _copied(conv.bias)
    if norm is None:
        return weight, bias
    mean, variance, gamma, beta = map(_copied, (norm.running_mean, norm.running_var, norm.weight, norm.bias))
    factor = gamma / torch.sqrt(variance + norm.eps)
    shifted = -mean if bias is None else bias - mean
    return weight * factor[:, None, None, None], beta + shifted * factor


def _copied(parameter: torch.Tensor) -> torch.Tensor:
    return parameter.detach().to(torch.float64, copy=True)


class Backbone(nn.Module):
    """A network from silhouettes to part embeddings; children define ``run`` and OpenGait's parameter names."""

    name: str

    def run(self, ops: Operators[T], frames: T) -> T:
        """The topology, from frames [n, s, 1, 64, 44] to parts [n, P, C]."""
        raise NotImplementedError

    def forward(self, frames: torch.Tensor, lengths: Sequence[int] | None = None) -> torch.Tensor:
        """Float frames [n, s, 64, 44] in [0, 1] -> embeddings [n, P, C].

        n clips of several ``lengths`` come one after the other: frames [1, sum(lengths), 64, 44].
        """
        return self.run(FloatOps(lengths), frames.unsqueeze(2))

    def training_outputs(
        self, frames: torch.Tensor, lengths: Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(embeddings [n, P, C] for the triplet loss, logits [n, classes, P] or None without a classifier)."""
        return self(frames, lengths), None


def describe(model: Backbone) -> list[Layer]:
    """The layers of ``model`` in execution order, batch norms folded with their running statistics.

    The input is called ``silhouette``; the embedding is the last layer's output.
    """
    recorder = Recorder()
    model.run(recorder, INPUT)
    return recorder.layers


def shapes(layers: Sequence[Layer], frame: tuple[int, int] = FRAME_SHAPE) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor, the input included: maps (C, H, W), parts (P, C)."""
    sizes: dict[str, tuple[int, ...]] = {INPUT: (1, *frame)}
    for layer in layers:
        first = sizes[layer.inputs[0]]
        match layer.kind:
            case "conv":
                assert layer.weight is not None
                out, _, kh, kw = layer.weight.shape
                top, left, bottom, right = layer.padding
                rows = (first[1] + top + bottom - kh) // layer.stride[0] + 1
                sizes[layer.name] = (out, rows, (first[2] + left + right - kw) // layer.stride[1] + 1)
            case "max_pool":
                sizes[layer.name] = (first[0], first[1] // layer.kernel, first[2] // layer.kernel)
            case "strip_pool":
                sizes[layer.name] = (sum(layer.bins), first[0])
            case "concat":
                sizes[layer.name] = (sum(sizes[x][0] for x in layer.inputs), first[1])
            case "part_linear":
                assert layer.weight is not None
                sizes[layer.name] = (first[0], layer.weight.shape[2])
            case _:
                sizes[layer.name] = first
    return sizes
