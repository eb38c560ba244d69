"""Which operators of the integer graph stay on the host core, why, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qgait.export.graph import Conv2d, FrameWindow, Graph, Op, PartLinear, PowerPool, WindowMax, WindowPool
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


def stays(graph: Graph, op: Op, accelerator: NpuTarget) -> Stay | None:
    """Why ``op`` cannot run on ``accelerator``; None when it can.

    The limits are those of Vela's list of supported TOSA operators.
    """
    match op:
        case FrameWindow():
            return WINDOW
        case WindowMax() | WindowPool():
            return POOLED_WINDOW
        case PowerPool():
            return POWER
        case Conv2d() if accelerator.family != "u85" and max(op.stride) > STRIDE:
            return Stay(
                f"its stride is {max(op.stride)}, and the NPU takes at most {STRIDE}",
                "split it into two convolutions of smaller strides, or choose an Ethos-U85.",
            )
        case Conv2d() | PartLinear() if (largest := _weight_sum(op)) > LARGEST_WEIGHT_SUM:
            return Stay(
                f"the weights of one output sum up to {largest:,}, and the NPU takes at most {LARGEST_WEIGHT_SUM:,}",
                "narrow the layer in front of it.",
            )
    for name in (*op.inputs, op.output):
        if max(graph.tensors[name].shape) > LARGEST_AXIS:
            return Stay(
                f"{name} is {list(graph.tensors[name].shape)}, and an axis has at most {LARGEST_AXIS} elements",
                "narrow that layer.",
            )
    return None


def _weight_sum(op: Conv2d | PartLinear) -> int:
    axes = (1, 2, 3) if isinstance(op, Conv2d) else 1
    return int(np.abs(op.weight.astype(np.int64)).sum(axis=axes).max())
