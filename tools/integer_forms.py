"""The words of docs/backbones.md: what each operator becomes in integers, and which networks have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from qgait.export.graph import Graph
from qgait.export.operators import (
    Add,
    Concat,
    FrameMax,
    FrameWindow,
    Multiply,
    Op,
    PowerPool,
    RowSlice,
    StripPool,
    Table,
    WindowMax,
    WindowPool,
)
from qgait.models.backbone import Backbone

INTRODUCTION = """\
The networks that `qgait train`, `calibrate` and `export` know. Every figure and picture below is made from the code,
for 64 x 44 silhouettes: `python tools/describe_backbones.py > docs/backbones.md`.

- **MACs a frame** are the mean over a long clip: what stands behind a stride over time runs for every third frame only.
- **Kept** is what a compiled network remembers from one frame to the next, however long the walk: the running maxima
  and, in rings, the neighbours that windows over time still look at. **Delay** is the number of frames after which
  everything has run once; an embedding may be asked for at any moment and is that of the frames so far, as of a
  whole clip.
- A clip shorter than **min frames** is repeated end to end.
- In the pictures a line reads the one above it, or what stands behind `<-`. *keeps n*: so many of its values are kept.
  Layers that differ in their region alone share a line. What is below the cut runs once an embedding. A ReLU is the
  lower end of a grid and is not drawn."""

TITLES = {
    "gaitset": (
        "GaitSet",
        "Chao et al., AAAI 2019, as OpenGait builds it. A convolutional network on each frame, its maximum over the "
        "frames at three depths, a second network on these maxima, pyramid pooling of both.",
    ),
    "gaitbase": ("GaitBase", "Fan et al., CVPR 2023, as OpenGait builds it. A ResNet of nine layers on each frame."),
    "gaitsimple": (
        "The simple model of the Center-Ranked loss",
        "Su et al., ICASSP 2020, in our reading of the abstract: GaitSet without its second network, 16 strips.",
    ),
    "gaitpart": (
        "GaitPart",
        "Fan et al., CVPR 2020, as OpenGait builds it. Focal convolutions (the same weights on each of several bands "
        "of rows), 16 strips a frame, and for each strip short windows over time gated by a small network of its own.",
    ),
    "gaitgl": (
        "GaitGL",
        "Lin, Zhang and Yu, ICCV 2021, as OpenGait builds it. Convolutions over time on whole maps and on bands of "
        "rows, added, or at the end joined; one in three frames after the third layer; a generalized mean of each row.",
    ),
    "hstl": (
        "HSTL",
        "Wang et al., ICCV 2023. Convolutions over time with weights of their own for each region of rows, a "
        "generalized mean of every region at every depth, and a learned choice between two maxima over time. The "
        "network of OUMVLP is that of GREW too.",
    ),
    "deepgaitv2": (
        "DeepGaitV2",
        "Fan et al., 2023, as OpenGait builds it. A deep ResNet on each frame (2d), with convolutions over time (3d), "
        "or with both in turn (p3d).",
    ),
}


@dataclass(frozen=True)
class Form:
    """A paragraph of the page, and whether a network needs it."""

    title: str
    text: str
    used: Callable[[Backbone, Graph], bool]


def _has(*kinds: type[Op]) -> Callable[[Backbone, Graph], bool]:
    return lambda _, graph: any(isinstance(op, kinds) for op in graph.ops)


def _table(activation: str) -> Callable[[Backbone, Graph], bool]:
    return lambda _, graph: any(isinstance(op, Table) and op.name.endswith(activation) for op in graph.ops)


def _norm(model: Backbone, _: Graph) -> bool:
    return any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) for module in model.modules())


def _joins_maps(_: Backbone, graph: Graph) -> bool:
    return any(isinstance(op, Concat) and len(graph.tensors[op.output].shape) == 3 for op in graph.ops)


FORMS = (
    Form(
        "Batch norm",
        "Folded into the weights and biases of the layer before it, in float64 with its running statistics; that of "
        "the embedding too. Exact. The classifier is for training and is not exported.",
        _norm,
    ),
    Form(
        "Leaky ReLU",
        "A table of 256 codes behind the requantized accumulator: an accumulator is rounded to 8 bits, then the "
        "function to the result's grid. Two roundings instead of one.",
        _table(".leaky_relu"),
    ),
    Form(
        "Sum",
        "Both operands are multiplied by integers up to 2^14 that bring them to one scale, added in int32 and "
        "rounded once.",
        _has(Add),
    ),
    Form("Set pooling", "A running maximum of codes. Exact, for a maximum keeps the order.", _has(FrameMax)),
    Form(
        "Strips",
        "Mean + maximum (or the mean) of a strip of rows: sums in int32, the division is part of the multiplier, one "
        "rounding. A step for each part.",
        _has(StripPool),
    ),
    Form(
        "Convolution over time",
        "Neighbouring values side by side as channels, then a 2-D convolution (for parts a matrix) with the kernel's "
        "weights in the same order. Exact: the sums are the same. Frames beyond the clip are the zero point, which is "
        "the published padding by zeros.",
        _has(FrameWindow),
    ),
    Form(
        "Regions of rows",
        "A slice is a place in memory, and so is a join of maps, where all that is joined shares one step and zero "
        "point: one grid for all regions. The edge of a region is padded with the zero point, as the published "
        "networks pad it.",
        lambda model, graph: _has(RowSlice)(model, graph) and _joins_maps(model, graph),
    ),
    Form(
        "Maximum over time",
        "The maximum of neighbouring codes; those beyond the clip do not count. Exact.",
        _has(WindowMax),
    ),
    Form(
        "Mean and maximum over time",
        "Sum and maximum of neighbouring codes in int32, one rounding. Beyond the clip: zeros to the mean, nothing to "
        "the maximum, as published.",
        _has(WindowPool),
    ),
    Form(
        "Generalized mean",
        "`mean(x^p)^(1/p)` with the learned p: a table of `x^p` for the 256 codes in int64, a sum over the region, and "
        "in place of the root one threshold for each code of the result: the nearest code to the root of the sum. What "
        "it costs is the rounding of the table, whose largest entry is 2^53 divided by the number of values: with p = "
        "6.5, a row of 44 values whose largest is 1 % of the largest possible one, or 64 such rows with 3 %, are still "
        "rounded as the float mean is. In HSTL trained on CASIA-B 1 % of the pooled codes differ from the rounded "
        "float mean, by 3 codes at most; rank-1 differs by less than 0.05 points.",
        _has(PowerPool),
    ),
    Form(
        "Choice of two branches",
        "The softmax of two logits is the sigmoid of their difference, and a difference of two linear layers is one "
        "linear layer. Exact in real numbers; in integers one matrix and one table of 256 codes a branch in place of "
        "exponentials and a division. The weights of both branches are rounded each for itself.",
        lambda model, graph: _table(".sigmoid")(model, graph) and _has(WindowMax)(model, graph),
    ),
    Form(
        "Gate",
        "A sigmoid is a table of 256 codes. The product of two codes is an int32 that is rounded once.",
        _has(Multiply),
    ),
)
