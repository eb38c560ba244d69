"""GaitBase (Fan et al., OpenGait, CVPR 2023): ResNet9, set maximum, 16 parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from qgait.models.backbone import Backbone, Classes, Width, Widths4
from qgait.models.blocks import BasicBlock, BasicConv2d, SeparateFCs, SetBlock, initialise, run_basic_block
from qgait.models.operators import Operators, T
from qgait.models.weight_shapes import WeightShapes

PARTS = 16
STRIDES = (1, 2, 2, 1)


class GaitBase(Backbone):
    """OpenGait's ``Baseline`` with ResNet9; ``channels`` of its four stages, ``embedding`` of one part's vector.

    With ``classes`` it has the BNNeck classifier that training needs; without, inference is all it can do.
    """

    name = "gaitbase"
    classifier = "BNNecks"

    def __init__(
        self, channels: Widths4 = (64, 128, 256, 512), embedding: Width = 256, classes: Classes | None = None
    ) -> None:
        super().__init__()
        self.Backbone = SetBlock(_ResNet9(channels))
        self.embedding_shape = (PARTS, embedding)
        self.FCs = SeparateFCs(PARTS, channels[-1], embedding)
        initialise(self)
        if classes is not None:
            self.new_classifier(classes)

    @classmethod
    def config_of(cls, weights: WeightShapes) -> dict[str, Any]:
        """See ``Backbone.config_of``."""
        channels = tuple(weights[f"Backbone.forward_block.layer{i}.0.conv1.weight", 4][0] for i in (1, 2, 3, 4))
        return {"channels": channels, "embedding": weights["FCs.fc_bin", 3][2]}

    def run(self, ops: Operators[T], frames: T) -> T:
        """See ``Backbone.run``."""
        net = self.Backbone.forward_block
        x = ops.conv(frames, "stem", net.conv1.conv, net.bn1, "relu")
        for number, layer in enumerate((net.layer1, net.layer2, net.layer3, net.layer4), 1):
            x = run_basic_block(ops, x, f"layer{number}", layer[0])
        parts = ops.strip_pool(ops.frame_max(x, "set_max"), "parts", (PARTS,))
        return ops.part_linear(parts, "embedding", self.FCs.fc_bin)


class _ResNet9(nn.Module):
    """Parameters of the stem and of four stages of one basic block."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = BasicConv2d(1, channels[0], 3)
        self.bn1 = nn.BatchNorm2d(channels[0])
        inputs = channels[0]
        for number, (outputs, stride) in enumerate(zip(channels, STRIDES, strict=True), 1):
            setattr(self, f"layer{number}", nn.Sequential(BasicBlock(inputs, outputs, stride)))
            inputs = outputs
