"""GaitSet (Chao et al., AAAI 2019) as OpenGait builds it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from qgait.models.blocks import BasicConv2d, SeparateFCs, SetBlock, initialise
from qgait.models.layers import Backbone, Operators, T

BINS = (16, 8, 4, 2, 1)


class GaitSet(Backbone):
    """Three blocks of two convolutions on each frame, a global branch on their set maxima, 62 parts.

    ``channels`` of the blocks: 32, 64, 128 for CASIA-B and Gait3D, 64, 128, 256 for OUMVLP and GREW.
    ``embedding`` is the length of one part's vector. Trained with the triplet loss alone.
    """

    name = "gaitset"

    def __init__(self, channels: Sequence[int] = (32, 64, 128), embedding: int = 256) -> None:
        super().__init__()
        c1, c2, c3 = channels
        self.set_block1 = SetBlock(_block(1, c1, 5))
        self.set_block2 = SetBlock(_block(c1, c2, 3))
        self.set_block3 = SetBlock(_block(c2, c3, 3))
        self.gl_block2 = _block(c1, c2, 3)
        self.gl_block3 = _block(c2, c3, 3)
        self.Head = SeparateFCs(2 * sum(BINS), c3, embedding)
        initialise(self)

    def run(self, ops: Operators[T], frames: T) -> T:
        """See ``Backbone.run``."""
        one = _two_convs(ops, frames, "set_block1", self.set_block1.forward_block)
        one = ops.max_pool(one, "set_block1_pool", 2)
        two = _two_convs(ops, one, "set_block2", self.set_block2.forward_block)
        two = ops.max_pool(two, "set_block2_pool", 2)
        three = _two_convs(ops, two, "set_block3", self.set_block3.forward_block)

        top = _two_convs(ops, ops.frame_max(one, "set_max1"), "gl_block2", self.gl_block2)
        top = ops.max_pool(top, "gl_block2_pool", 2)
        top = ops.add(top, ops.frame_max(two, "set_max2"), "gl_add2")
        top = _two_convs(ops, top, "gl_block3", self.gl_block3)
        last = ops.frame_max(three, "set_max3")
        top = ops.add(top, last, "gl_add3")

        parts = ops.concat((ops.strip_pool(last, "set_strips", BINS), ops.strip_pool(top, "gl_strips", BINS)), "parts")
        return ops.part_linear(parts, "embedding", self.Head.fc_bin)


def _block(inputs: int, outputs: int, first_kernel: int) -> nn.Sequential:
    """Convolutions at places 0 and 2, as in OpenGait's Sequential(conv, LeakyReLU, conv, LeakyReLU[, max pool])."""
    return nn.Sequential(
        BasicConv2d(inputs, outputs, first_kernel), nn.LeakyReLU(), BasicConv2d(outputs, outputs, 3), nn.LeakyReLU()
    )


def _two_convs(ops: Operators[T], x: T, name: str, block: nn.Sequential) -> T:
    x = ops.conv(x, f"{name}_conv1", block[0].conv, activation="leaky_relu")
    return ops.conv(x, f"{name}_conv2", block[2].conv, activation="leaky_relu")
