"""The operators of the integer graph: a closed set, a family a file. Each class says what is true of its operator.

A back end registers one function an operator in a ``BackEnd`` (``qgait.export.operators.back_end``).
"""

from qgait.export.operators.convolution import Conv2d, Convolution, DepthwiseConv2d, PartLinear, Weighted
from qgait.export.operators.operator import Op
from qgait.export.operators.pointwise import Add, Multiply, Table
from qgait.export.operators.pooling import MaxPool2d, PowerPool, StripPool
from qgait.export.operators.rearranging import Concat, RowSlice
from qgait.export.operators.requant import Range, Requant
from qgait.export.operators.tensor import Shape, Tensor
from qgait.export.operators.time import FrameMax, FrameWindow, WindowMax, WindowPool

OPERATORS: tuple[type[Op], ...] = (
    Conv2d,
    DepthwiseConv2d,
    PartLinear,
    Add,
    Multiply,
    Table,
    MaxPool2d,
    StripPool,
    PowerPool,
    FrameMax,
    FrameWindow,
    WindowMax,
    WindowPool,
    Concat,
    RowSlice,
)

__all__ = [
    "OPERATORS",
    "Add",
    "Concat",
    "Conv2d",
    "Convolution",
    "DepthwiseConv2d",
    "FrameMax",
    "FrameWindow",
    "MaxPool2d",
    "Multiply",
    "Op",
    "PartLinear",
    "PowerPool",
    "Range",
    "Requant",
    "RowSlice",
    "Shape",
    "StripPool",
    "Table",
    "Tensor",
    "Weighted",
    "WindowMax",
    "WindowPool",
]
