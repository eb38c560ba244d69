"""Chooses how a segment is written for an accelerator: the equal form that costs it least by rule of thumb.

The rules follow what Vela's estimates are made of. An Ethos-U computes outputs in micro blocks of rows x columns x
channels and fills the last block of a row or column with nothing: a map 11 columns wide costs 12 where two go at once,
and none too many when rows and columns are exchanged. Kernel elements go four at a time.
"""

from __future__ import annotations

from qgait.export.graph import Graph
from qgait.export.operators import Conv2d, Op, Table
from qgait.export.segments import Segment
from qgait.export.tosa.forms import Form, can_turn, side_by_side, unseen
from qgait.export.tosa.writer import segment_bytes
from qgait.targets.accelerators import NpuTarget

BRICK = 16  # channels that maps are stored in
SRAM_MAP = 100 * 1024  # bytes of a map that U65 and U85 find a place for in 384 KiB of SRAM
KERNEL_STEP = 4  # kernel elements at once
AT_ONCE = 2  # columns of a first convolution


def tosa_for(graph: Graph, segment: Segment, accelerator: NpuTarget) -> bytes:
    """The TOSA file of ``segment`` that is compiled for ``accelerator``."""
    return segment_bytes(graph, segment, form_for(graph, segment, accelerator))


def form_for(graph: Graph, segment: Segment, accelerator: NpuTarget) -> Form:
    """The form in which ``accelerator`` shall get ``segment``."""
    flipped = _turned(graph, segment, accelerator)
    columns: dict[str, int] = {}
    overhang: set[str] = set()
    for op in segment.ops:
        if not isinstance(op, Conv2d):
            continue
        height, width, channels = graph.tensors[op.inputs[0]].shape
        narrow = channels == 1 and op.stride == (1, 1) and op.name not in flipped and width % AT_ONCE == 0
        if narrow and accelerator.family != "u85" and _steps(side_by_side(op, AT_ONCE)) < _steps(op):
            columns |= dict.fromkeys([op.name, *_tables(graph, segment, op)], AT_ONCE)
        # a slice of a map keeps it from being stored in bricks, which costs nothing in SRAM and much in DRAM
        in_dram = accelerator.family != "u55" and height * width * channels > SRAM_MAP
        if in_dram and _slices(op, height, width):
            overhang.add(op.name)
    return Form(flipped, columns, frozenset(overhang))


def _turned(graph: Graph, segment: Segment, accelerator: NpuTarget) -> frozenset[str]:
    """The operators from one on to the end of the segment, or none: what makes micro blocks and exchanges cheapest."""
    able = [op.name for op in segment.ops if can_turn(graph, op)]
    choices = [frozenset(able[start:]) for start in (len(able), *range(len(able)))]
    return min(choices, key=lambda names: _cost(graph, segment, accelerator, names))


def _cost(graph: Graph, segment: Segment, accelerator: NpuTarget, names: frozenset[str]) -> float:
    """Cycles of the convolutions and of exchanging rows and columns, when operators ``names`` are turned."""
    cycles = 0.0
    made = {op.output: op.name in names for op in segment.ops}
    exchanged = {name for name in segment.outputs if made[name]}
    for op in segment.ops:
        if isinstance(op, Conv2d):
            height, width, _ = graph.tensors[op.output].shape
            size = (width, height) if op.name in names else (height, width)
            cycles += op.macs(graph.tensors) / accelerator.macs * _filled(*size, accelerator)
        exchanged |= {name for name in op.inputs if made.get(name, False) != (op.name in names)}
    for name in exchanged:
        height, width, channels = graph.tensors[name].shape
        cycles += height * width * max(channels, BRICK) * accelerator.exchange
    return cycles


def _filled(height: int, width: int, accelerator: NpuTarget) -> float:
    """How many times the outputs the best micro blocks compute."""
    blocks = accelerator.micro_blocks
    return min(-(-height // rows) * rows * -(-width // columns) * columns for rows, columns in blocks) / height / width


def _steps(op: Conv2d) -> int:
    """Steps through the kernel for a micro block, of at most eight channels."""
    return -(-op.weight[0, :, :, 0].size // KERNEL_STEP)


def _tables(graph: Graph, segment: Segment, op: Op) -> list[str]:
    """A table in the segment that alone reads what ``op`` makes."""
    readers = graph.readers(op.output)
    inside = [reader.name for reader in readers if isinstance(reader, Table) and reader in segment.ops]
    return inside if len(readers) == 1 else []


def _slices(op: Conv2d, height: int, width: int) -> bool:
    rows, columns = unseen(op, height, width)
    return rows > op.padding[2] or columns > op.padding[3]
