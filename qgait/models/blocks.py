"""Modules that carry parameters under OpenGait's names, and the groups of operators that several backbones share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import nn

from qgait.models.operators import Operators, T


class BasicConv2d(nn.Module):
    """A convolution without bias whose weight is called ``conv.weight``."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class BasicConv3d(nn.Module):
    """A convolution over time without bias whose weight is called ``conv3d.weight``."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int, int] = (3, 3, 3),
        stride: tuple[int, int, int] = (1, 1, 1),
        padding: int = 1,
    ) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False)


class GeM(nn.Module):
    """The learned power ``p`` [1] of a generalized mean."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 6.5))


def conv_pair(inputs: int, outputs: int, first_kernel: int) -> nn.Sequential:
    """Convolutions at places 0 and 2, as in OpenGait's Sequential(conv, LeakyReLU, conv, LeakyReLU[, max pool])."""
    return nn.Sequential(
        BasicConv2d(inputs, outputs, first_kernel), nn.LeakyReLU(), BasicConv2d(outputs, outputs, 3), nn.LeakyReLU()
    )


def run_conv_pair(ops: Operators[T], x: T, name: str, pair: nn.Sequential) -> T:
    """The layers ``name``_conv1 and ``name``_conv2 of a ``conv_pair``."""
    x = ops.conv(x, f"{name}_conv1", pair[0].conv, activation="leaky_relu")
    return ops.conv(x, f"{name}_conv2", pair[2].conv, activation="leaky_relu")


def by_regions(ops: Operators[T], x: T, name: str, rows: Sequence[int], function: Callable[[int, T, str], T]) -> T:
    """``function(number, region, its name)`` of every region of ``rows`` whole rows, joined on rows as ``name``."""
    stops = list(accumulate(rows))
    done = []
    for i, (count, stop) in enumerate(zip(rows, stops, strict=True)):
        region = ops.row_slice(x, f"{name}_rows{i + 1}", stop - count, stop)
        done.append(function(i, region, f"{name}_region{i + 1}"))
    return ops.concat(done, name)


class BasicBlock(nn.Module):
    """Parameters of two 3 x 3 (x 3) convolutions and, where the shape changes, of the shortcut; no stride over time."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dims: int = 2) -> None:
        super().__init__()
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
        strides = (1, stride, stride)[-dims:]
        self.conv1 = conv(inputs, outputs, 3, strides, 1, bias=False)
        self.bn1 = norm(outputs)
        self.conv2 = conv(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = norm(outputs)
        self.downsample = shortcut(inputs, outputs, stride, dims)


def shortcut(inputs: int, outputs: int, stride: int, dims: int) -> nn.Sequential | None:
    """The 1 x 1 (x 1) convolution and its norm beside a block that changes the shape; None where it does not."""
    if stride == 1 and inputs == outputs:
        return None
    conv, norm = (nn.Conv2d, nn.BatchNorm2d) if dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
    return nn.Sequential(conv(inputs, outputs, 1, (1, stride, stride)[-dims:], bias=False), norm(outputs))


def run_conv(ops: Operators[T], x: T, name: str, conv: nn.Module, norm: nn.Module, activation: str = "none") -> T:
    """A 2-D or 3-D convolution with its norm."""
    run = ops.conv3d if isinstance(conv, nn.Conv3d) else ops.conv
    return run(x, name, conv, norm, activation)


def run_basic_block(ops: Operators[T], x: T, name: str, block: BasicBlock) -> T:
    """``name``_conv1, _conv2, _shortcut and _add of a ``BasicBlock``."""
    y = run_conv(ops, x, f"{name}_conv1", block.conv1, block.bn1, "relu")
    y = run_conv(ops, y, f"{name}_conv2", block.conv2, block.bn2)
    return add_shortcut(ops, y, x, name, block.downsample)


def add_shortcut(ops: Operators[T], y: T, x: T, name: str, downsample: nn.Sequential | None) -> T:
    """``relu(y + x)``, with the shortcut's convolution on x where there is one."""
    if downsample is not None:
        x = run_conv(ops, x, f"{name}_shortcut", downsample[0], downsample[1])
    return ops.add(y, x, f"{name}_add", "relu")


class SetBlock(nn.Module):
    """Puts ``forward_block.`` in front of a block's parameter names, as OpenGait does for what runs on each frame."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.forward_block = block


class SeparateFCs(nn.Module):
    """``fc_bin`` [P, Cin, Cout], one matrix a part."""

    def __init__(self, parts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fc_bin = nn.Parameter(torch.empty(parts, inputs, outputs))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """As a classifier of training: embeddings [n, P, C] -> logits [n, classes, P]."""
        return embeddings.transpose(0, 1).matmul(self.fc_bin).permute(1, 2, 0)


class SeparateBNNecks(nn.Module):
    """The classifier of training: batch norm over all parts' channels, then cosine to ``fc_bin`` [P, C, classes]."""

    def __init__(self, parts: int, channels: int, classes: int) -> None:
        super().__init__()
        self.fc_bin = nn.Parameter(torch.empty(parts, channels, classes))
        self.bn1d = nn.BatchNorm1d(channels * parts)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings [n, P, C] -> cosines [n, classes, P]; feature c of part p is number c * P + p of the norm."""
        n, parts, channels = embeddings.shape
        normed = self.bn1d(embeddings.transpose(1, 2).reshape(n, -1)).view(n, channels, parts).permute(2, 0, 1)
        return F.normalize(normed, dim=-1).matmul(F.normalize(self.fc_bin, dim=1)).permute(1, 2, 0)


def initialise(model: nn.Module) -> None:
    """OpenGait's start: Xavier-uniform weights, batch-norm weights N(1, 0.02), zero biases."""
    for module in model.modules():
        match module:
            case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d():
                nn.init.normal_(module.weight, 1.0, 0.02)
                nn.init.zeros_(module.bias)
            case SeparateFCs() | SeparateBNNecks():
                nn.init.xavier_uniform_(module.fc_bin)
