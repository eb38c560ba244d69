"""GaitGL (Lin, Zhang and Yu, ICCV 2021) as OpenGait builds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from qgait.models.backbone import Backbone, Classes, Widths3or4
from qgait.models.blocks import BasicConv3d, GeM, SeparateFCs, by_regions, initialise
from qgait.models.layers import FRAME_SHAPE
from qgait.models.operators import Operators, T
from qgait.models.weight_shapes import WeightShapes

PARTS = 64


class GaitGL(Backbone):
    """Convolutions over time on whole maps and, with shared weights, on bands of rows; the last two joined on rows.

    Three ``channels``: CASIA-B's network with 8 bands. Four: that of OUMVLP and GREW, twice as deep, with 2 bands.
    ``bnneck``: the embedding is taken before any batch norm and a BNNeck is the classifier.
    """

    name = "gaitgl"
    variants = ({}, {"channels": (32, 64, 128, 256)}, {"bnneck": True})
    min_frames = 3
    classifier = "Head1"

    def __init__(
        self, channels: Widths3or4 = (32, 64, 128), bnneck: bool = False, classes: Classes | None = None
    ) -> None:
        super().__init__()
        big = len(channels) == 4
        c, last = channels, channels[-1]
        self.bands = 2 if big else 8
        self.conv3d = nn.Sequential(BasicConv3d(1, c[0]), nn.LeakyReLU())
        if big:
            self.conv3d.extend([BasicConv3d(c[0], c[0]), nn.LeakyReLU()])
        self.LTA = nn.Sequential(BasicConv3d(c[0], c[0], (3, 1, 1), (3, 1, 1), 0), nn.LeakyReLU())
        for name, inputs, outputs in (("A0", c[0], c[1]), ("A1", c[1], c[2]), ("B2", c[2], last)):
            block = _GLConv(inputs, outputs)
            setattr(self, f"GLConv{name}", nn.Sequential(block, _GLConv(outputs, outputs)) if big else block)
        self.HPP = GeM()
        self.Head0 = SeparateFCs(PARTS, last, last)
        self.Bn = None if bnneck else nn.BatchNorm1d(last)
        self.classifier, self.embedding_shape = "BNNecks" if bnneck else "Head1", (PARTS, last)
        initialise(self)
        if classes is not None:
            self.new_classifier(classes)

    @classmethod
    def config_of(cls, weights: WeightShapes) -> dict[str, Any]:
        """See ``Backbone.config_of``."""
        big = "conv3d.2.conv3d.weight" in weights
        names = [f"GLConv{name}{'.0' if big else ''}.global_conv3d" for name in ("A0", "A1", "B2")]
        widths = [weights[f"{name}.conv3d.weight", 5][0] for name in ["conv3d.0", *names[: 3 if big else 2]]]
        return {"channels": tuple(widths), "bnneck": "Bn.weight" not in weights}

    def run(self, ops: Operators[T], frames: T) -> T:
        """See ``Backbone.run``."""
        x = frames
        for number, conv in enumerate(self.conv3d[::2], 1):
            x = ops.conv3d(x, f"conv{number}", conv.conv3d, activation="leaky_relu")
        x = ops.conv3d(x, "lta", self.LTA[0].conv3d, activation="leaky_relu")
        height = FRAME_SHAPE[0]
        for stage in ("A0", "A1", "B2"):
            block = getattr(self, f"GLConv{stage}")
            convs = list(block) if isinstance(block, nn.Sequential) else [block]
            for number, conv in enumerate(convs, 1):
                rows, last = (height // self.bands,) * self.bands, stage == "B2" and number == len(convs)
                x = conv.run(ops, x, f"gl{stage}_{number}", rows, join=last)
            if stage == "A0":
                x, height = ops.max_pool(x, "pool", 2), height // 2
        parts = ops.gem_pool(ops.frame_max(x, "set_max"), "parts", (1,) * PARTS, (self.HPP.p,))
        return ops.part_linear(parts, "embedding", self.Head0.fc_bin, norm=self.Bn)


class _GLConv(nn.Module):
    """One convolution over time of whole maps, one of bands of rows; their sum, or both joined on rows."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.global_conv3d = BasicConv3d(inputs, outputs)
        self.local_conv3d = BasicConv3d(inputs, outputs)

    def run(self, ops: Operators[T], x: T, name: str, rows: Sequence[int], join: bool) -> T:
        def local(_: int, band: T, name: str) -> T:
            return ops.conv3d(band, name, self.local_conv3d.conv3d, activation="leaky_relu")

        whole = ops.conv3d(x, f"{name}_global", self.global_conv3d.conv3d, activation="leaky_relu")
        both = whole, by_regions(ops, x, f"{name}_local", rows, local)
        return ops.concat(both, name) if join else ops.add(*both, name)
