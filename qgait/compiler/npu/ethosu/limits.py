"""Which operators of the integer graph stay on the host core, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qgait.export.graph import Graph
from qgait.export.operators import (
    Add,
    Concat,
    Convolution,
    FrameMax,
    FrameWindow,
    MaxPool2d,
    Multiply,
    Op,
    PartLinear,
    PowerPool,
    RowSlice,
    StripPool,
    Table,
    Weighted,
    WindowMax,
    WindowPool,
)
from qgait.targets.accelerators import NpuTarget

LARGEST_AXIS = 65536
LARGEST_WEIGHT_SUM = 127 * 65536
STRIDE = 3  # the longest step of a convolution on U55 and U65


@dataclass(frozen=True)
class Stay:
    """Why an operator stays on the host, and what would bring it to the NPU."""

    reason: str
    fix: str


WINDOW = Stay(
    "it looks at neighbouring values of a series, which the host keeps in rings",
    "take a backbone without windows over time (gaitset, gaitbase), or let the host do it: it only copies.",
)
POOLED_WINDOW = Stay(
    WINDOW.reason, "take a backbone without windows over time (gaitset, gaitbase), or let the host do it."
)
POWER = Stay(
    "its power tables hold 32-bit numbers, and the NPU looks up 8-bit ones",
    "pool by mean + maximum instead of a generalized mean, or let the host do it.",
)


def _convolution(op: Convolution, accelerator: NpuTarget) -> Stay | None:
    if accelerator.family != "u85" and max(op.stride) > STRIDE:
        return Stay(
            f"its stride is {max(op.stride)}, and the NPU takes at most {STRIDE}",
            "split it into two convolutions of smaller strides, or choose an Ethos-U85.",
        )
    return _weights(op, accelerator)


def _weights(op: Weighted, accelerator: NpuTarget) -> Stay | None:
    largest = int(op.weight_magnitude.max())
    if largest <= LARGEST_WEIGHT_SUM:
        return None
    return Stay(
        f"the weights of one output sum up to {largest:,}, and the NPU takes at most {LARGEST_WEIGHT_SUM:,}",
        "narrow the layer in front of it.",
    )


def _always(op: Op, accelerator: NpuTarget) -> None:
    """It has no limit of its own."""


# why an operator or a family never runs on an NPU, or what says for one operator whether it may
ETHOS_U: dict[type[Op], Stay | Callable[..., Stay | None]] = {
    Convolution: _convolution,
    PartLinear: _weights,
    Add: _always,
    Multiply: _always,
    Table: _always,
    MaxPool2d: _always,
    StripPool: _always,
    PowerPool: POWER,
    FrameMax: _always,
    FrameWindow: WINDOW,
    WindowMax: POOLED_WINDOW,
    WindowPool: POOLED_WINDOW,
    Concat: _always,
    RowSlice: _always,
}


def limit_of(kind: type[Op]) -> Stay | Callable[..., Stay | None]:
    """What holds for an operator, or for the family that it belongs to."""
    return next(ETHOS_U[family] for family in kind.__mro__ if family in ETHOS_U)


def stays(graph: Graph, op: Op, accelerator: NpuTarget) -> Stay | None:
    """Why ``op`` cannot run on ``accelerator``; None when it can.

    The limits are those of Vela's list of supported TOSA operators.
    """
    limit = limit_of(type(op))
    why = limit if isinstance(limit, Stay) else limit(op, accelerator)
    if why is not None:
        return why
    for name in (*op.inputs, op.output):
        if max(graph.tensors[name].shape) > LARGEST_AXIS:
            return Stay(
                f"{name} is {list(graph.tensors[name].shape)}, and an axis has at most {LARGEST_AXIS} elements",
                "narrow that layer.",
            )
    return None
