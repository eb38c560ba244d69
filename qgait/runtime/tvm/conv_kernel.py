"""The loop nest of a fused convolution, the same for every instruction set.

for a block of output rows:
    gather its input rows
    for a tile of output channels:
        for a row of the block, for a tile of pixels:
            accumulators = bias
            for 16 bytes of K, for a tap: dot products with four groups of weights
            requantize, add the shortcut, clip, store
        look codes up, pool, store
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from tvm.script.ir_builder import tirx as T

from qgait.export.graph import Conv2d, Graph, Tensor
from qgait.runtime.tvm.builder import function, load, local, splat, store
from qgait.runtime.tvm.conv_finish import Finish
from qgait.runtime.tvm.conv_gather import Gather, pieces
from qgait.runtime.tvm.conv_isa import Buffer, CodeRange, ConvIsa, Expr, ResidualAdd
from qgait.runtime.tvm.conv_packing import packed_bias, packed_rescaling, packed_weights, rescaling
from qgait.runtime.tvm.conv_plan import BLOCK, ConvPlan, plan
from qgait.runtime.tvm.fusion import Group
from qgait.runtime.tvm.program import Kernel


def conv_kernel(group: Group, graph: Graph, isa: ConvIsa) -> Kernel | None:
    """The kernel of a group that starts with a convolution; None if a multiplier is too large for 32-bit rescaling."""
    conv = group.conv
    assert isinstance(conv, Conv2d)
    shape = plan(group, graph, isa.lanes * isa.vectors, isa.pixels, loop_taps=not isa.holds_codes)
    scale = rescaling(conv.requant, shape.channels, isa.product_shift)
    add = _residual_add(group, graph, isa)
    if scale is None or (group.add is not None and add is None):
        return None
    rows = isa.rescale_rows(*scale)
    source = graph.tensors[conv.inputs[0]]
    flip = -128 if isa.code_offset else 0

    with function(group) as f:
        inputs = [f.input(graph.tensors[name], i) for i, name in enumerate(group.inputs)]
        weights = f.constant(packed_weights(conv, shape), "int8")
        copies = isa.pixels if isa.holds_codes else 1  # two vectors load as fast as one is copied
        bias = f.constant(packed_bias(conv, shape, isa.code_offset, copies), "int32")
        rescale = f.constant(packed_rescaling(np.stack(rows), shape), "int32")
        edge = f.constant(np.full(BLOCK, source.zero_point ^ flip), "int8")
        lookup = f.constant(group.table.table, "int8") if group.table else None
        (scratch,) = f.scratch((shape.scratch_bytes, "int8"))
        out = f.output(graph.tensors[group.output])
        _Nest(
            shape,
            isa,
            result=_code_range(graph.tensors[conv.output]),
            add=add,
            gather=Gather(shape, inputs[0], scratch, edge, flip),
            finish=Finish(shape, isa, group.table, lookup, scratch, out),
            operand=scratch,
            weights=weights,
            bias=bias,
            bias_copies=copies,
            rescale=rescale,
            rescale_rows=len(rows),
            other=inputs[1] if add else None,
            width=graph.tensors[conv.output].shape[1],
        ).emit()
    kernel = f.kernel()  # the fence is one only for memory that someone else might know
    return replace(kernel, func=kernel.func.without_attr("tirx.noalias"))


def _residual_add(group: Group, graph: Graph, isa: ConvIsa) -> ResidualAdd | None:
    if group.add is None or group.conv is None:
        return None
    ours = group.add.inputs.index(group.conv.output)
    scale = rescaling(group.add.requant, 1, isa.product_shift)
    if scale is None:
        return None
    other = graph.tensors[group.add.inputs[1 - ours]]
    return ResidualAdd(
        factor=group.add.factors[ours],
        other_factor=group.add.factors[1 - ours],
        other_zero_point=other.zero_point,
        rescale=isa.rescale_rows(*scale),
        result=_code_range(graph.tensors[group.add.output]),
    )


def _code_range(tensor: Tensor) -> CodeRange:
    return CodeRange(tensor.zero_point, tensor.lo, tensor.hi)


@contextmanager
def _loop(count: int) -> Iterator[Expr]:
    """A loop, or its body alone: LLVM assigns registers worse in a loop of one round."""
    if count == 1:
        yield 0
    else:
        with T.serial(0, count) as i:
            yield i


class _Nest:
    """Emits the loops of one kernel into the current function."""

    def __init__(
        self,
        plan: ConvPlan,
        isa: ConvIsa,
        *,
        result: CodeRange,
        add: ResidualAdd | None,
        gather: Gather,
        finish: Finish,
        operand: Buffer,
        weights: Buffer,
        bias: Buffer,
        bias_copies: int,
        rescale: Buffer,
        rescale_rows: int,
        other: Buffer | None,
        width: int,
    ) -> None:
        self.plan, self.isa, self.result, self.add = plan, isa, result, add
        self.gather, self.finish = gather, finish
        self.operand, self.weights, self.bias, self.other = operand, weights, bias, other
        self.rescale, self.rescale_rows = rescale, rescale_rows
        self.width, self.bias_copies = width, bias_copies

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
        plan = self.plan
        with T.serial(0, plan.row_block) as row:
            x = 0
            for count, width in plan.pixel_tiles:
                with _loop(count) as i:
                    self._register_tile(block, row, x + i * width, width, tile, valid)
                x += count * width
        if plan.staged:
            self.finish.staged_row_block(block, tile * plan.tile, valid)

    def _register_tile(self, block: Expr, row: Expr, x: Expr, pixels: int, tile: Expr, valid: int) -> None:
        """``pixels`` neighbouring outputs from column ``x``, all of a tile's channels."""
        isa, operand = self.isa, self.plan.operand
        accumulators = local(pixels * isa.vectors * isa.lanes, "int32")

        def accumulator(pixel: int, vector: int) -> Expr:
            return load(accumulators, (pixel * isa.vectors + vector) * isa.lanes, isa.lanes)

        def set_accumulator(pixel: int, vector: int, value: Expr) -> None:
            store(accumulators, (pixel * isa.vectors + vector) * isa.lanes, value, isa.lanes)

        isa.fence()
        for p in range(pixels):
            for v in range(isa.vectors):
                at = ((tile * self.bias_copies + p % self.bias_copies) * isa.vectors + v) * isa.lanes
                set_accumulator(p, v, load(self.bias, at, isa.lanes))

        first = row * operand.row_stride + x * operand.pixel_stride

        taps = sum(count for _, count in operand.runs)

        def multiply(block_index: Expr, groups: int) -> None:
            step = (tile * operand.blocks + block_index) * taps
            for offset, count in operand.runs:
                with _loop(count) as tap:
                    start = first + block_index * operand.block_stride + offset + tap * operand.pixel_stride
                    multiply_tap(step + tap, start, groups)
                step += count

        def multiply_tap(step: Expr, start: Expr, groups: int) -> None:
            for g in range(groups):
                weights: dict[int, Expr] = {}
                pairs = [(p, v) for p in range(pixels) for v in range(isa.vectors)]
                if isa.holds_codes:
                    pairs.sort(key=lambda pair: pair[1])
                for p, v in pairs:
                    if v not in weights:
                        weights[v] = T.bind(self._weights(step, g, v))
                    pixel = start + p * operand.pixel_stride
                    set_accumulator(p, v, isa.dot(accumulator(p, v), weights[v], self.operand, pixel, g))

        full = operand.blocks if operand.last_groups == 4 else operand.blocks - 1
        with _loop(full) as t:
            multiply(t, 4)
        if operand.blocks > full:
            multiply(full, operand.last_groups)

        for v in range(isa.vectors):
            rows = [T.bind(self._rescale(tile, i, v)) for i in range(self.rescale_rows)]
            for p in range(pixels):
                set_accumulator(p, v, isa.requantize(accumulator(p, v), rows))
        for p in range(pixels):
            values = [accumulator(p, v) for v in range(isa.vectors)]
            other = self._other(block, row, x + p, tile, valid)
            codes = isa.codes(values, self.result, self.add, other)
            self.finish.codes(codes, block, row, x + p, tile * self.plan.tile, valid)

    def _weights(self, step: Expr, group: int, vector: int) -> Expr:
        at = ((step * 4 + group) * self.isa.vectors + vector) * self.isa.lanes * 4
        return load(self.weights, at, self.isa.lanes * 4)

    def _rescale(self, tile: Expr, row: int, vector: int) -> Expr:
        at = ((tile * self.rescale_rows + row) * self.isa.vectors + vector) * self.isa.lanes
        return load(self.rescale, at, self.isa.lanes)

    def _other(self, block: Expr, row: Expr, x: Expr, tile: Expr, valid: int) -> Expr:
        """The codes that the shortcut brings to one pixel; channels that do not exist are not read."""
        if self.other is None:
            return None
        plan = self.plan
        at = ((block * plan.row_block + row) * self.width + x) * plan.channels + tile * plan.tile
        if valid == plan.tile:
            return T.bind(load(self.other, at, valid))
        codes = local(plan.tile, "int8")
        store(codes, 0, splat(0, "int8", plan.tile), plan.tile)
        for offset, size in pieces(valid):
            store(codes, offset, load(self.other, at + offset, size), size)
        return T.bind(load(codes, 0, plan.tile))
