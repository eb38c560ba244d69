"""Equal ways to write a convolutional network in TOSA: the same codes, other work for the accelerator.

A map can be written with rows and columns exchanged; a convolution of one channel can compute several columns at once,
as channels; a strided convolution that leaves the last row or column unseen can compute one more and drop it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from qgait.export.graph import Graph
from qgait.export.operators import Add, Conv2d, MaxPool2d, Op, Requant, Table
from qgait.export.tosa.builder import TosaBuilder
from qgait.export.tosa.operators import TOSA

PLAIN, TURNED, COLUMNS = "", "/turned", "/columns"  # layouts: what ends the name of a tensor in TOSA


@dataclass(frozen=True)
class Form:
    """How operators are written, by name; what is not named is written as it stands.

    ``turned`` operators make their map [W, H, C]. ``columns`` says how many columns (divisors of the width) a
    convolution of one channel and stride 1 computes at once; a table behind it can be named too, with the same number.
    ``overhang`` names strided convolutions that compute what lies beyond the border, where others slice their input.
    An operator has one name in here at most, but for overhang.
    """

    turned: frozenset[str] = frozenset()
    columns: Mapping[str, int] = field(default_factory=dict)
    overhang: frozenset[str] = frozenset()

    def layout(self, op: Op) -> str:
        """The layout of what ``op`` makes."""
        return TURNED if op.name in self.turned else COLUMNS if op.name in self.columns else PLAIN

    def input_layout(self, op: Op) -> str:
        """The layout that ``op`` reads."""
        return PLAIN if isinstance(op, Conv2d) and op.name in self.columns else self.layout(op)


AS_IT_STANDS = Form()


def can_turn(graph: Graph, op: Op) -> bool:
    """Whether the operator treats rows as it treats columns."""
    return isinstance(op, Conv2d | Table | MaxPool2d | Add) and len(graph.tensors[op.output].shape) == 3


def turned(op: Op) -> Op:
    """The operator on maps [W, H, C]."""
    if not isinstance(op, Conv2d):
        return op
    top, left, bottom, right = op.padding
    weight = np.ascontiguousarray(op.weight.transpose(0, 2, 1, 3))
    return replace(op, weight=weight, padding=(left, top, right, bottom), stride=op.stride[::-1])


def side_by_side(op: Conv2d, columns: int) -> Conv2d:
    """A convolution [H, W, 1] -> [H, W, O] as one [H, W / columns, columns] -> [H, W / columns, columns * O]."""
    outputs, kh, kw, _ = op.weight.shape
    top, left, bottom, _ = op.padding
    first, last = -left // columns, (columns - 1 + kw - 1 - left) // columns  # pieces of columns around a piece
    weight = np.zeros((columns, outputs, kh, last - first + 1, columns), np.int8)
    for column in range(columns):
        for tap in range(kw):
            piece, inside = divmod(column + tap - left, columns)
            weight[column, :, :, piece - first, inside] = op.weight[:, :, tap, 0]
    requant = Requant(np.tile(op.requant.multiplier, columns), np.tile(op.requant.shift, columns))
    return replace(
        op,
        weight=weight.reshape(columns * outputs, kh, last - first + 1, columns),
        bias=np.tile(op.bias, columns),
        padding=(top, -first, bottom, last),
        requant=requant,
    )


def unseen(op: Conv2d, height: int, width: int) -> tuple[int, int]:
    """Rows and columns at the end of the padded map [height, width] that no window sees."""
    top, left, bottom, right = op.padding
    kh, kw = op.kernel
    return (height + top + bottom - kh) % op.stride[0], (width + left + right - kw) % op.stride[1]


def formed(b: TosaBuilder, graph: Graph, op: Op, inputs: list[str], form: Form) -> str:
    """Adds ``op`` on ``inputs`` of the layout that it reads; its result has its own layout."""
    if op.name in form.turned:
        op = turned(op)
    add, tensors = TOSA[op], (op.sources(graph.tensors), graph.tensors[op.output])
    if not isinstance(op, Conv2d):
        return add(b, op, inputs, *tensors)
    n, height, width, _ = b.shape(inputs[0])
    channels = len(op.weight)
    if op.name in form.columns:
        columns = form.columns[op.name]
        pieces = b.reshape(inputs[0], (n, height, width // columns, columns))
        return add(b, side_by_side(op, columns), [pieces], *tensors)
    if op.name in form.overhang:
        (top, left, bottom, right), (rows, columns) = op.padding, unseen(op, height, width)
        more = (-rows % op.stride[0], -columns % op.stride[1])
        wider = replace(op, padding=(top, left, bottom + more[0], right + more[1]))
        made = add(b, wider, inputs, *tensors)
        _, rows, columns, _ = b.shape(made)
        return b.corner(made, (n, rows - bool(more[0]), columns - bool(more[1]), channels))
    return add(b, op, inputs, *tensors)
