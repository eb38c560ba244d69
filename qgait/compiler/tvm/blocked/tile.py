"""The micro-kernel: one register tile of a convolution, from the bias to requantized values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.blocked.packing import packed_bias, packed_rescaling, packed_weights
from qgait.compiler.tvm.blocked.plan import ConvPlan
from qgait.compiler.tvm.builder import Function, load, local, loop, store
from qgait.compiler.tvm.dot_products import Buffer, DotProducts, Expr
from qgait.compiler.tvm.rescaling import Int32
from qgait.compiler.tvm.weights import Weights
from qgait.export.operators import Conv2d


@dataclass(frozen=True, eq=False)
class TileConstants:
    """What the micro-kernel reads besides the gathered activations.

    bias [tiles][copies][tile]: where weights stream by, it is written out for every pixel, because two vectors load as
    fast as one is copied. rescale [tiles][rows][tile] (``ShortRescaling.rows``).
    """

    weights: Weights  # a piece is a tile
    bias: Buffer
    bias_copies: int
    rescale: Buffer
    rescale_rows: int
    rounds: Buffer  # [1]: of the K loop. If LLVM knew it, it would count in large offsets that no load pair can hold

    @staticmethod
    def declare(f: Function, conv: Conv2d, plan: ConvPlan, dots: DotProducts, rows: tuple[Int32, ...]) -> TileConstants:
        """Packs them and declares them as constants of the function."""
        copies = dots.pixels if dots.holds_codes else 1
        return TileConstants(
            weights=Weights.declare(f, packed_weights(conv, plan), conv.weight_bits),
            bias=f.constant(packed_bias(conv, plan, dots.code_offset, copies), "int32"),
            bias_copies=copies,
            rescale=f.constant(packed_rescaling(np.stack(rows), plan), "int32"),
            rescale_rows=len(rows),
            rounds=f.constant([plan.operand.full_blocks], "int32"),
        )


class RegisterTile:
    """Emits the micro-kernel. Create it where the function's body begins."""

    def __init__(self, plan: ConvPlan, dots: DotProducts, gathered: Buffer, constants: TileConstants) -> None:
        self.operand, self.dots, self.gathered, self.constants = plan.operand, dots, gathered, constants
        self.rounds = T.bind(load(constants.rounds, 0, 1))
        self.weights_at: Expr = 0
        constants.weights.begin()

    def weights_of(self, tile: Expr) -> None:
        """Before `values` of channel tile ``tile``."""
        self.weights_at = self.constants.weights.bring(tile)

    def values(self, row: Expr, x: Expr, pixels: int, tile: Expr) -> list[list[Expr]]:
        """Requantized int32 vectors [pixel][vector], no zero point, not clipped, of channel tile ``tile``.

        The pixels are ``x``, ``x + 1``, ... of output row ``row`` within the row block.
        """
        dots, operand = self.dots, self.operand
        accumulators = Accumulators(pixels, dots)
        dots.fence()
        for p, v in accumulators.places():
            copy = tile * self.constants.bias_copies + p % self.constants.bias_copies
            accumulators[p, v] = self._vector(self.constants.bias, copy, v)

        first = row * operand.row_stride + x * operand.pixel_stride
        if operand.full_blocks:
            with loop(operand.full_blocks, self.rounds) as block:
                self._multiply_block(accumulators, first, block, 4)
        if operand.blocks > operand.full_blocks:
            self._multiply_block(accumulators, first, operand.full_blocks, operand.last_groups)

        for v in range(dots.vectors):
            count = self.constants.rescale_rows
            rows = [T.bind(self._vector(self.constants.rescale, tile * count + i, v)) for i in range(count)]
            for p in range(pixels):
                accumulators[p, v] = dots.rescaling.rescaled(accumulators[p, v], rows)
        return [[accumulators[p, v] for v in range(dots.vectors)] for p in range(pixels)]

    def _multiply_block(self, accumulators: Accumulators, first: Expr, block: Expr, groups: int) -> None:
        """All taps of one block of K."""
        operand = self.operand
        step = (self.weights_at * operand.blocks + block) * sum(count for _, count in operand.runs)
        for offset, count in operand.runs:
            with loop(count) as tap:
                start = first + block * operand.block_stride + offset + tap * operand.pixel_stride
                self._multiply_tap(accumulators, start, step + tap, groups)
            step += count

    def _multiply_tap(self, accumulators: Accumulators, start: Expr, step: Expr, groups: int) -> None:
        dots = self.dots
        for g in range(groups):
            weights: dict[int, Expr] = {}
            for p, v in accumulators.places(vectors_first=not dots.holds_codes):
                if v not in weights:
                    at = ((step * 4 + g) * dots.vectors + v) * dots.lanes * 4
                    weights[v] = T.bind(load(self.constants.weights.buffer, at, dots.lanes * 4))
                pixel = start + p * self.operand.pixel_stride
                accumulators[p, v] = dots.dot(accumulators[p, v], weights[v], self.gathered, pixel, g)

    def _vector(self, buffer: Buffer, row: Expr, vector: int) -> Expr:
        return load(buffer, (row * self.dots.vectors + vector) * self.dots.lanes, self.dots.lanes)


class Accumulators:
    """Int32 vectors [pixel][vector] in local memory that LLVM turns into registers."""

    def __init__(self, pixels: int, dots: DotProducts) -> None:
        self.pixels, self.vectors, self.lanes = pixels, dots.vectors, dots.lanes
        self.memory = local(pixels * dots.vectors * dots.lanes, "int32")

    def places(self, vectors_first: bool = True) -> list[tuple[int, int]]:
        """Every (pixel, vector); the vector changes fastest, or the pixel does."""
        if vectors_first:
            return [(p, v) for p in range(self.pixels) for v in range(self.vectors)]
        return [(p, v) for v in range(self.vectors) for p in range(self.pixels)]

    def __getitem__(self, place: tuple[int, int]) -> Expr:
        return load(self.memory, self._at(*place), self.lanes)

    def __setitem__(self, place: tuple[int, int], value: Expr) -> None:
        store(self.memory, self._at(*place), value, self.lanes)

    def _at(self, pixel: int, vector: int) -> int:
        return (pixel * self.vectors + vector) * self.lanes
