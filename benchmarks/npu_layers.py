"""Where the cycles of a compiled trunk go, layer by layer, and why a layer uses less than the accelerator has."""

from __future__ import annotations

from collections.abc import Iterator

from qgait.export.graph import Graph
from qgait.export.operators import Conv2d, Op, Table
from qgait.export.tosa.forms import COLUMNS, TURNED
from qgait.runtime.ethosu.segment import Figures, LayerFigures
from qgait.targets.accelerators import NpuTarget

GOOD = 0.95  # of the peak: no reason is asked for
NO_WEIGHTS = {
    "Add": "a sum of two maps: no multiply-accumulate, and each code takes the output stage several cycles",
    "MaxPool": "a maximum: no multiply-accumulate",
    "Maximum": "a running maximum: no multiply-accumulate",
    "Transpose": "rows and columns exchanged, so that later maps fill their blocks",
    "MemoryCopy": "a copy",
}


def rows(graph: Graph, figures: Figures, target: NpuTarget) -> Iterator[tuple[str, str, str, str, str]]:
    """(layer, operator, cycles, share of the peak, reason) of everything that takes cycles."""
    made = {op.output: op for op in graph.ops}
    for layer in figures.layers:
        if not layer.cycles:
            continue
        name = layer.name.removesuffix(TURNED).removesuffix(COLUMNS)
        op = made.get(name)
        if isinstance(op, Table):
            op = made[op.inputs[0]]
        macs = op.macs(graph.tensors) if op is not None and layer.operator == "Conv2D" else 0
        share = macs / target.macs / layer.cycles
        reason = "" if share >= GOOD else _reason(graph, op, layer, figures, target)
        yield name, layer.operator, f"{layer.cycles:,}", f"{share:.2f}" if macs else "-", reason


def _reason(graph: Graph, op: Op | None, layer: LayerFigures, figures: Figures, target: NpuTarget) -> str:
    if not isinstance(op, Conv2d) or layer.operator != "Conv2D":
        return NO_WEIGHTS.get(layer.operator, "no multiply-accumulate")
    if op.weight.shape[3] == 1:
        return "one channel, where eight go at once; then the output stage is the limit"
    height, width, _ = graph.tensors[op.output].shape
    if layer.name.endswith(TURNED):
        height, width = width, height
    reasons = []
    if op.weight.size / figures.weight_bandwidth * figures.clock > 0.85 * layer.cycles:
        reasons.append("weights come no faster from their memory")
    filled = min(-(-height // r) * r * -(-width // c) * c / (height * width) for r, c in target.micro_blocks)
    if filled > 1:
        reasons.append(f"a map of {height} x {width} fills blocks for {filled * height * width:.0f} outputs")
    kernel = op.weight.shape[1] * op.weight.shape[2]
    if target.family == "u85" and kernel % 4:
        reasons.append(f"Vela's estimate takes {kernel} kernel elements in {-(-kernel // 4)} steps of 4")
    if kernel == 1:
        reasons.append("1 x 1: few multiply-accumulates for each code that is read and written")
    return "; ".join(reasons) or "reading and writing maps"
