"""GaitSet (Chao et al., AAAI 2019) as OpenGait builds it."""

from __future__ import annotations

from typing import Any

from qgait.models.backbone import Backbone, Width, Widths3
from qgait.models.blocks import SeparateFCs, SetBlock, conv_pair, initialise, run_conv_pair
from qgait.models.operators import Operators, T
from qgait.models.weight_shapes import WeightShapes

BINS = (16, 8, 4, 2, 1)


class GaitSet(Backbone):
    """Three blocks of two convolutions on each frame, a global branch on their set maxima, 62 parts.

    ``channels`` of the blocks: 32, 64, 128 for CASIA-B and Gait3D, 64, 128, 256 for OUMVLP and GREW.
    ``embedding`` is the length of one part's vector. Trained with the triplet loss alone.
    """

    name = "gaitset"

    def __init__(self, channels: Widths3 = (32, 64, 128), embedding: Width = 256) -> None:
        super().__init__()
        c1, c2, c3 = channels
        self.set_block1 = SetBlock(conv_pair(1, c1, 5))
        self.set_block2 = SetBlock(conv_pair(c1, c2, 3))
        self.set_block3 = SetBlock(conv_pair(c2, c3, 3))
        self.gl_block2 = conv_pair(c1, c2, 3)
        self.gl_block3 = conv_pair(c2, c3, 3)
        self.Head = SeparateFCs(2 * sum(BINS), c3, embedding)
        initialise(self)

    @classmethod
    def config_of(cls, weights: WeightShapes) -> dict[str, Any]:
        """See ``Backbone.config_of``."""
        channels = tuple(weights[f"set_block{i}.forward_block.0.conv.weight", 4][0] for i in (1, 2, 3))
        return {"channels": channels, "embedding": weights["Head.fc_bin", 3][2]}

    def run(self, ops: Operators[T], frames: T) -> T:
        """See ``Backbone.run``."""
        one = run_conv_pair(ops, frames, "set_block1", self.set_block1.forward_block)
        one = ops.max_pool(one, "set_block1_pool", 2)
        two = run_conv_pair(ops, one, "set_block2", self.set_block2.forward_block)
        two = ops.max_pool(two, "set_block2_pool", 2)
        three = run_conv_pair(ops, two, "set_block3", self.set_block3.forward_block)

        top = run_conv_pair(ops, ops.frame_max(one, "set_max1"), "gl_block2", self.gl_block2)
        top = ops.max_pool(top, "gl_block2_pool", 2)
        top = ops.add(top, ops.frame_max(two, "set_max2"), "gl_add2")
        top = run_conv_pair(ops, top, "gl_block3", self.gl_block3)
        last = ops.frame_max(three, "set_max3")
        top = ops.add(top, last, "gl_add3")

        parts = ops.concat((ops.strip_pool(last, "set_strips", BINS), ops.strip_pool(top, "gl_strips", BINS)), "parts")
        return ops.part_linear(parts, "embedding", self.Head.fc_bin)
