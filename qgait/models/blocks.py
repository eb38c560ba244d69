"""Modules that carry parameters under OpenGait's names; the topology is written in each backbone's ``run``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from qgait.models.layers import Operators, T


class BasicConv2d(nn.Module):
    """A convolution without bias whose weight is called ``conv.weight``."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


def conv_pair(inputs: int, outputs: int, first_kernel: int) -> nn.Sequential:
    """Convolutions at places 0 and 2, as in OpenGait's Sequential(conv, LeakyReLU, conv, LeakyReLU[, max pool])."""
    return nn.Sequential(
        BasicConv2d(inputs, outputs, first_kernel), nn.LeakyReLU(), BasicConv2d(outputs, outputs, 3), nn.LeakyReLU()
    )


def run_conv_pair(ops: Operators[T], x: T, name: str, pair: nn.Sequential) -> T:
    """The layers ``name``_conv1 and ``name``_conv2 of a ``conv_pair``."""
    x = ops.conv(x, f"{name}_conv1", pair[0].conv, activation="leaky_relu")
    return ops.conv(x, f"{name}_conv2", pair[2].conv, activation="leaky_relu")


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
            case nn.Conv2d():
                nn.init.xavier_uniform_(module.weight)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                nn.init.normal_(module.weight, 1.0, 0.02)
                nn.init.zeros_(module.bias)
            case SeparateFCs() | SeparateBNNecks():
                nn.init.xavier_uniform_(module.fc_bin)
