"""The loop nest of a fused convolution, the same for every instruction set.

for a block of output rows:
    gather its input rows                                          gather.py
    for a tile of output channels:
        unpack its weights                                         weights.py
        for a row of the block, for a tile of pixels:
            multiply and requantize                                tile.py
            add the shortcut, clip                                 dotprod.py, vnni.py
        look codes up, pool, store                                 finish.py
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.blocked.finish import Finish
from qgait.compiler.tvm.blocked.gather import Gather, pieces
from qgait.compiler.tvm.blocked.plan import BLOCK, ConvPlan, plan
from qgait.compiler.tvm.blocked.tile import RegisterTile, TileConstants
from qgait.compiler.tvm.builder import function, load, local, splat, store
from qgait.compiler.tvm.dot_products import Buffer, CodeRange, DotProducts, Expr, ResidualAdd
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.instruction_set import InstructionSet
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.rescaling import rescaling_rows
from qgait.export.graph import Graph
from qgait.export.operators import Conv2d, Tensor


def conv_kernel(group: Group, graph: Graph, instructions: InstructionSet) -> Kernel | None:
    """The kernel of a group that starts with a convolution; None if a multiplier is too large for 32-bit rescaling."""
    conv = group.conv
    assert isinstance(conv, Conv2d) and instructions.dots is not None
    dots = instructions.dots.fitted(len(conv.weight))
    shape = plan(group, graph, dots.lanes * dots.vectors, dots.pixels, loop_taps=not dots.holds_codes)
    rows = rescaling_rows(dots.rescaling, conv.requant, shape.channels)
    add = _residual_add(group, graph, dots)
    if rows is None or (group.add is not None and add is None):
        return None
    result = graph.tensors[conv.output]
    flip = -128 if dots.code_offset else 0

    with function(group) as f:
        inputs = [f.input(graph.tensors[name], i) for i, name in enumerate(group.inputs)]
        constants = TileConstants.declare(f, conv, shape, dots, rows)
        edge = f.constant(np.full(BLOCK, graph.tensors[conv.inputs[0]].zero_point ^ flip), "int8")
        lookup = f.constant(group.table.table, "int8") if group.table else None
        (scratch,) = f.scratch((shape.scratch_bytes, "int8"))
        out = f.output(graph.tensors[group.output])
        _Nest(
            plan=shape,
            dots=dots,
            gather=Gather(shape, inputs[0], scratch, edge, flip),
            tile=RegisterTile(shape, dots, scratch, constants),
            result=_code_range(result),
            add=add,
            shortcut=inputs[1] if add else None,
            shortcut_width=result.shape[1],
            finish=Finish(shape, dots, group.table, lookup, scratch, out),
        ).emit()
    kernel = f.kernel()
    # without the promise that no arguments overlap, or DotProducts.fence would not be one
    # each code of the shortcut is read just before the sum takes its place, unless pooling moves it
    in_place = group.inputs[1] if add is not None and group.pool is None else None
    return replace(kernel, func=kernel.func.without_attr("tirx.noalias"), in_place=in_place)


def _residual_add(group: Group, graph: Graph, dots: DotProducts) -> ResidualAdd | None:
    if group.add is None or group.conv is None:
        return None
    ours = group.add.inputs.index(group.conv.output)
    rows = rescaling_rows(dots.rescaling, group.add.requant, 1)
    if rows is None:
        return None
    other = graph.tensors[group.add.inputs[1 - ours]]
    return ResidualAdd(
        factor=group.add.factors[ours],
        other_factor=group.add.factors[1 - ours],
        other_zero_point=other.zero_point,
        rescale=rows,
        result=_code_range(graph.tensors[group.add.output]),
    )


def _code_range(tensor: Tensor) -> CodeRange:
    return CodeRange(tensor.zero_point, tensor.lo, tensor.hi)


@dataclass(frozen=True, eq=False)
class _Nest:
    """Emits the loops of one kernel into the current function."""

    plan: ConvPlan
    dots: DotProducts
    gather: Gather
    tile: RegisterTile
    result: CodeRange  # of the convolution itself
    add: ResidualAdd | None
    shortcut: Buffer | None  # what ``add`` adds
    shortcut_width: int
    finish: Finish

    def emit(self) -> None:
        plan = self.plan
        with T.serial(0, plan.rows // plan.row_block) as block:
            self.gather.row_block(block)
            whole, rest = divmod(plan.channels, plan.tile)
            with T.serial(0, whole) as tile:
                self._channel_tile(block, tile, plan.tile)
            if rest:
                self._channel_tile(block, whole, rest)

    def _channel_tile(self, block: Expr, tile: Expr, valid: int) -> None:
        """A row block of one tile of channels, of which ``valid`` exist."""
        plan = self.plan
        self.tile.weights_of(tile)
        with T.serial(0, plan.row_block) as row:
            x = 0
            for count, width in plan.pixel_tiles:
                with T.serial(0, count) as i:
                    self._pixels(block, row, x + i * width, width, tile, valid)
                x += count * width
        if plan.staged:
            self.finish.staged_row_block(block, tile * plan.tile, valid)

    def _pixels(self, block: Expr, row: Expr, x: Expr, pixels: int, tile: Expr, valid: int) -> None:
        for p, vectors in enumerate(self.tile.values(row, x, pixels, tile)):
            other = self._shortcut(block, row, x + p, tile, valid)
            codes = self.dots.codes(vectors, self.result, self.add, other)
            self.finish.codes(codes, block, row, x + p, tile * self.plan.tile, valid)

    def _shortcut(self, block: Expr, row: Expr, x: Expr, tile: Expr, valid: int) -> Expr:
        """The codes that are added to one pixel; channels that do not exist are not read."""
        if self.shortcut is None:
            return None
        plan = self.plan
        pixel = (block * plan.row_block + row) * self.shortcut_width + x
        at = pixel * plan.channels + tile * plan.tile
        if valid == plan.tile:
            return T.bind(load(self.shortcut, at, valid))
        codes = local(plan.tile, "int8")
        store(codes, 0, splat(0, "int8", plan.tile), plan.tile)
        for offset, size in pieces(valid):
            store(codes, offset, load(self.shortcut, at + offset, size), size)
        return T.bind(load(codes, 0, plan.tile))
