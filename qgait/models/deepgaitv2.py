"""DeepGaitV2 (Fan et al., Exploring Deep Models for Practical Gait Recognition, 2023) as OpenGait builds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta
from torch import nn

from qgait.models.backbone import Backbone, Classes, Width, Widths4
from qgait.models.blocks import (
    BasicBlock,
    SeparateFCs,
    SetBlock,
    add_shortcut,
    initialise,
    run_basic_block,
    shortcut,
)
from qgait.models.operators import Operators, T
from qgait.models.weight_shapes import MOST, WeightShapes

PARTS = 16
STRIDES = (1, 2, 2, 1)
Mode = Literal["2d", "p3d", "3d"]
MODES: tuple[Mode, ...] = get_args(Mode)
Depths = Annotated[Sequence[Annotated[int, Meta(ge=1, le=MOST)]], Meta(min_length=4, max_length=4)]


class DeepGaitV2(Backbone):
    """A residual network with convolutions on each frame (``mode`` 2d), over time (3d), or both in turn (p3d).

    ``depths``: residual blocks a layer; [1, 4, 4, 1] for Gait3D and GREW, [1, 1, 1, 1] for CASIA-B and OUMVLP. Layer 1
    is 2d always. ``embedding`` of one part's vector: the third of ``channels`` unless given.
    """

    name = "deepgaitv2"
    variants = tuple({"mode": mode} for mode in MODES)
    classifier = "BNNecks"

    def __init__(
        self,
        mode: Mode = "p3d",
        depths: Depths = (1, 4, 4, 1),
        channels: Widths4 = (64, 128, 256, 512),
        embedding: Width | None = None,
        classes: Classes | None = None,
    ) -> None:
        super().__init__()
        self.embedding_shape = (PARTS, embedding or channels[2])
        self.layer0 = SetBlock(
            nn.Sequential(nn.Conv2d(1, channels[0], 3, 1, 1, bias=False), nn.BatchNorm2d(channels[0]))
        )
        inputs = channels[0]
        for number, (outputs, stride, depth) in enumerate(zip(channels, STRIDES, depths, strict=True), 1):
            layer = nn.Sequential()
            for i in range(depth):
                layer.append(_block("2d" if number == 1 else mode, inputs, outputs, stride if i == 0 else 1))
                inputs = outputs
            setattr(self, f"layer{number}", SetBlock(layer) if number == 1 or mode == "2d" else layer)
        self.FCs = SeparateFCs(PARTS, inputs, self.embedding_shape[1])
        initialise(self)
        if classes is not None:
            self.new_classifier(classes)

    @classmethod
    def config_of(cls, weights: WeightShapes) -> dict[str, Any]:
        """See ``Backbone.config_of``."""
        mode = "p3d" if "layer2.0.shortcut3d.weight" in weights else "3d"
        if "layer2.forward_block.0.conv1.weight" in weights:
            mode = "2d"
        wrapped = "layer{}." if mode != "2d" else "layer{}.forward_block."
        starts = ["layer1.forward_block.", *(wrapped.format(number) for number in (2, 3, 4))]
        conv, dims = {
            "2d": ("conv1.weight", 4), "3d": ("conv1.weight", 5), "p3d": ("conv1.forward_block.0.weight", 4)
        }[mode]  # fmt: skip
        first = weights["layer1.forward_block.0.conv1.weight", 4][0]
        return {
            "mode": mode,
            "depths": tuple(weights.count(f"{start}{{}}.") for start in starts),
            "channels": (first, *(weights[f"{start}0.{conv}", dims][0] for start in starts[1:])),
            "embedding": weights["FCs.fc_bin", 3][2],
        }

    def run(self, ops: Operators[T], frames: T) -> T:
        """See ``Backbone.run``."""
        stem = self.layer0.forward_block
        x = ops.conv(frames, "stem", stem[0], stem[1], "relu")
        for number in (1, 2, 3, 4):
            layer = getattr(self, f"layer{number}")
            for i, block in enumerate(layer.forward_block if isinstance(layer, SetBlock) else layer, 1):
                run = _run_p3d if isinstance(block, _P3D) else run_basic_block
                x = run(ops, x, f"layer{number}_block{i}", block)
        parts = ops.strip_pool(ops.frame_max(x, "set_max"), "parts", (PARTS,))
        return ops.part_linear(parts, "embedding", self.FCs.fc_bin)


def _block(mode: str, inputs: int, outputs: int, stride: int) -> nn.Module:
    return _P3D(inputs, outputs, stride) if mode == "p3d" else BasicBlock(inputs, outputs, stride, int(mode[0]))


class _P3D(nn.Module):
    """Two convolutions on each frame and a residual one over three frames between them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = SetBlock(
            nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))
        )
        self.conv2 = SetBlock(nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)))
        self.shortcut3d = nn.Conv3d(outputs, outputs, (3, 1, 1), 1, (1, 0, 0), bias=False)
        self.sbn = nn.BatchNorm3d(outputs)
        self.downsample = shortcut(inputs, outputs, stride, 3)


def _run_p3d(ops: Operators[T], x: T, name: str, block: _P3D) -> T:
    first, second = block.conv1.forward_block, block.conv2.forward_block
    y = ops.conv(x, f"{name}_conv1", first[0], first[1], "relu")
    y = ops.add(y, ops.conv3d(y, f"{name}_time", block.shortcut3d, block.sbn), f"{name}_time_add", "relu")
    y = ops.conv(y, f"{name}_conv2", second[0], second[1])
    return add_shortcut(ops, y, x, name, block.downsample)
