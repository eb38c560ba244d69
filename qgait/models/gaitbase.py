"""GaitBase (Fan et al., OpenGait, CVPR 2023): ResNet9, set maximum, 16 parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from qgait.models.blocks import BasicConv2d, SeparateBNNecks, SeparateFCs, SetBlock, initialise
from qgait.models.layers import Backbone, Operators, T

PARTS = 16
STRIDES = (1, 2, 2, 1)


class GaitBase(Backbone):
    """OpenGait's ``Baseline`` with ResNet9; ``channels`` of its four stages, ``embedding`` of one part's vector.

    With ``classes`` it has the BNNeck classifier that training needs; without, inference is all it can do.
    """

    name = "gaitbase"

    def __init__(
        self, channels: Sequence[int] = (64, 128, 256, 512), embedding: int = 256, classes: int | None = None
    ) -> None:
        super().__init__()
        self.Backbone = SetBlock(_ResNet9(channels))
        self.FCs = SeparateFCs(PARTS, channels[-1], embedding)
        initialise(self)
        if classes is not None:
            self.new_classifier(classes)

    def new_classifier(self, classes: int) -> None:
        """A fresh BNNeck for ``classes`` people, which training needs and inference does not."""
        self.BNNecks = SeparateBNNecks(PARTS, self.FCs.fc_bin.shape[2], classes)
        initialise(self.BNNecks)

    def run(self, ops: Operators[T], frames: T) -> T:
        """See ``Backbone.run``."""
        net = self.Backbone.forward_block
        x = ops.conv(frames, "stem", net.conv1.conv, net.bn1, "relu")
        for number, layer in enumerate((net.layer1, net.layer2, net.layer3, net.layer4), 1):
            block = layer[0]
            name = f"layer{number}"
            y = ops.conv(x, f"{name}_conv1", block.conv1, block.bn1, "relu")
            y = ops.conv(y, f"{name}_conv2", block.conv2, block.bn2)
            if block.downsample is not None:
                x = ops.conv(x, f"{name}_shortcut", block.downsample[0], block.downsample[1])
            x = ops.add(y, x, f"{name}_add", "relu")
        parts = ops.strip_pool(ops.frame_max(x, "set_max"), "parts", (PARTS,))
        return ops.part_linear(parts, "embedding", self.FCs.fc_bin)

    def training_outputs(
        self, frames: torch.Tensor, lengths: Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See ``Backbone.training_outputs``."""
        embeddings = self(frames, lengths)
        return embeddings, self.BNNecks(embeddings) if hasattr(self, "BNNecks") else None


class _ResNet9(nn.Module):
    """Parameters of the stem and of four stages of one basic block."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = BasicConv2d(1, channels[0], 3)
        self.bn1 = nn.BatchNorm2d(channels[0])
        inputs = channels[0]
        for number, (outputs, stride) in enumerate(zip(channels, STRIDES, strict=True), 1):
            setattr(self, f"layer{number}", nn.Sequential(_BasicBlock(inputs, outputs, stride)))
            inputs = outputs


class _BasicBlock(nn.Module):
    """Parameters of two 3 x 3 convolutions and, where the shape changes, of the 1 x 1 shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
