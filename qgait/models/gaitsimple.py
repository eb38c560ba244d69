"""The "simple model" of the Center-Ranked loss (Su, Zhao and Li, ICASSP 2020), in our reading of the abstract."""

from __future__ import annotations

from typing import Any

from qgait.models.backbone import Backbone, Width, Widths3
from qgait.models.blocks import SeparateFCs, conv_pair, initialise, run_conv_pair
from qgait.models.operators import Operators, T
from qgait.models.weight_shapes import WeightShapes

PARTS = 16


class GaitSimple(Backbone):
    """Three blocks of two convolutions on each frame, the set maximum, 16 parts: GaitSet without its global branch.

    The abstract says no more than that the model is simple; this one is our reading, and so are the parameter names.
    ``channels`` of the blocks, ``embedding`` of one part's vector. It has no classifier.
    """

    name = "gaitsimple"

    def __init__(self, channels: Widths3 = (32, 64, 128), embedding: Width = 256) -> None:
        super().__init__()
        c1, c2, c3 = channels
        self.block1 = conv_pair(1, c1, 5)
        self.block2 = conv_pair(c1, c2, 3)
        self.block3 = conv_pair(c2, c3, 3)
        self.parts = SeparateFCs(PARTS, c3, embedding)
        initialise(self)

    @classmethod
    def config_of(cls, weights: WeightShapes) -> dict[str, Any]:
        """See ``Backbone.config_of``."""
        channels = tuple(weights[f"block{i}.0.conv.weight", 4][0] for i in (1, 2, 3))
        return {"channels": channels, "embedding": weights["parts.fc_bin", 3][2]}

    def run(self, ops: Operators[T], frames: T) -> T:
        """See ``Backbone.run``."""
        x = ops.max_pool(run_conv_pair(ops, frames, "block1", self.block1), "block1_pool", 2)
        x = ops.max_pool(run_conv_pair(ops, x, "block2", self.block2), "block2_pool", 2)
        x = ops.frame_max(run_conv_pair(ops, x, "block3", self.block3), "set_max")
        return ops.part_linear(ops.strip_pool(x, "strips", (PARTS,)), "embedding", self.parts.fc_bin)
