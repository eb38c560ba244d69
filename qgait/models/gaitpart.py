"""GaitPart (Fan et al., CVPR 2020) as OpenGait builds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import nn

from qgait.models.backbone import Backbone
from qgait.models.blocks import BasicConv2d, SeparateFCs, SetBlock, by_regions, conv_pair, initialise
from qgait.models.layers import FRAME_SHAPE
from qgait.models.operators import Operators, T
from qgait.models.weight_shapes import WeightShapes

PARTS = 16
# a quarter of the last is the width of a layer
Channels = Annotated[Sequence[Annotated[int, Meta(ge=4, le=4_096)]], Meta(min_length=3, max_length=4)]
BANDS = {3: (1, 4, 8), 4: (1, 1, 8, 8)}  # of a focal convolution, by the number of stages


class GaitPart(Backbone):
    """Focal convolutions on each frame, 16 parts a frame, short windows over time gated by each part's own.

    ``channels`` of the stages of two convolutions: three for CASIA-B, four for OUMVLP and GREW. Triplet loss alone.
    """

    name = "gaitpart"
    variants = ({}, {"channels": (32, 64, 128, 256)})

    def __init__(self, channels: Channels = (32, 64, 128)) -> None:
        super().__init__()
        features: list[nn.Module] = []
        for stage, (inputs, outputs) in enumerate(zip((1, *channels), channels, strict=False)):
            features += [nn.MaxPool2d(2)] if 0 < stage < 3 else []
            features += conv_pair(inputs, outputs, 3 if stage else 5)
        self.Backbone = SetBlock(nn.Module())
        self.Backbone.forward_block.feature = nn.Sequential(*features)
        self.TFA = nn.Module()
        self.TFA.pooling_func = _MicroMotion(channels[-1])
        self.Head = SeparateFCs(PARTS, channels[-1], channels[-1])
        self.bands = BANDS[len(channels)]
        initialise(self)

    @classmethod
    def config_of(cls, weights: WeightShapes) -> dict[str, Any]:
        """See ``Backbone.config_of``."""
        feature = "Backbone.forward_block.feature.{}.conv.weight"
        places = (0, 5, 10, 14) if feature.format(14) in weights else (0, 5, 10)
        return {"channels": tuple(weights[feature.format(place), 4][0] for place in places)}

    def run(self, ops: Operators[T], frames: T) -> T:
        """See ``Backbone.run``."""
        x, height, number = frames, FRAME_SHAPE[0], 0
        for module in self.Backbone.forward_block.feature:
            if isinstance(module, nn.MaxPool2d):
                x, height = ops.max_pool(x, f"pool{number // 2}", 2), height // 2
            elif isinstance(module, BasicConv2d):
                bands, number = self.bands[number // 2], number + 1

                def conv(_: int, rows: T, name: str, conv: nn.Conv2d = module.conv) -> T:
                    return ops.conv(rows, name, conv, activation="leaky_relu")

                rows, name = (height // bands,) * bands, f"conv{number}"
                x = by_regions(ops, x, name, rows, conv) if bands > 1 else conv(0, x, name)
        parts = self.TFA.pooling_func.run(ops, ops.strip_pool(x, "strips", (PARTS,)))
        return ops.part_linear(ops.frame_max(parts, "set_max"), "embedding", self.Head.fc_bin)


class _MicroMotion(nn.Module):
    """For windows of 3 and of 5 frames: mean + maximum, times the sigmoid of a small network of each part's own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1d3x1 = nn.ModuleList(_small_network(channels, 1) for _ in range(PARTS))
        self.conv1d3x3 = nn.ModuleList(_small_network(channels, 3) for _ in range(PARTS))

    def run(self, ops: Operators[T], x: T) -> T:
        gated = []
        for size, networks in ((3, self.conv1d3x1), (5, self.conv1d3x3)):
            name = f"motion{size}"
            gate = _conv1d(ops, x, f"{name}_squeeze", [net[0].conv for net in networks], "leaky_relu")
            gate = _conv1d(ops, gate, f"{name}_gate", [net[2].conv for net in networks], "sigmoid")
            gated.append(ops.multiply(ops.window_pool(x, f"{name}_pool", size), gate, name))
        return ops.add(gated[0], gated[1], "motion")


def _small_network(channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        _BasicConv1d(channels, channels // 4, 3), nn.LeakyReLU(), _BasicConv1d(channels // 4, channels, kernel)
    )


class _BasicConv1d(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2, bias=False)


def _conv1d(ops: Operators[T], x: T, name: str, convs: Sequence[nn.Conv1d], activation: str) -> T:
    """A convolution over time for each part: neighbours side by side, then one matrix a part."""
    weight = torch.stack([conv.weight.permute(2, 1, 0).flatten(0, 1) for conv in convs])
    size = convs[0].kernel_size[0]
    if size > 1:
        x = ops.window(x, f"{name}.window", size, 1, size // 2)
    return ops.part_linear(x, name, weight, activation=activation)
