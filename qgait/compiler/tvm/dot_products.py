"""What a blocked convolution asks of the dot products of an instruction set.

Expressions are TIR vectors. The loop nest (nest.py) is the same for all; it asks for dot products, for codes and for
table look-ups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qgait.compiler.tvm.rescaling import Int32, ShortRescaling

Expr = Any  # tvm.tirx.PrimExpr
Buffer = Any  # tvm.tirx.Buffer


@dataclass(frozen=True)
class CodeRange:
    """Where codes live: their zero point, and the range they are clipped to."""

    zero_point: int
    lo: int
    hi: int

    @property
    def around_zero(self) -> tuple[int, int]:
        """The clipping range before the zero point is added."""
        return self.lo - self.zero_point, self.hi - self.zero_point


@dataclass(frozen=True, eq=False)
class ResidualAdd:
    """An Add on the convolution's codes: ``requantize(factor * (code - zero_point) + other_factor * (other - ...))``.

    ``rescale`` are the rows of ``ShortRescaling.rows`` for its one multiplier.
    """

    factor: int
    other_factor: int
    other_zero_point: int
    rescale: tuple[Int32, ...]
    result: CodeRange


class DotProducts(Protocol):
    """A register tile is ``pixels`` x (``vectors`` * ``lanes``) int32 accumulators."""

    lanes: int
    vectors: int
    pixels: int
    holds_codes: bool  # a tile's codes stay in registers for several taps and weights stream by; or the other way round
    code_offset: int  # gathered codes are code + code_offset; 0 or 128
    rescaling: ShortRescaling

    def fitted(self, channels: int) -> DotProducts:
        """With as many vectors in a tile as a layer of ``channels`` is worth."""

    def fence(self) -> None:
        """Written before each register tile. Keeps LLVM from loading a tile's constants once, only to spill them."""

    def dot(self, acc: Expr, weights: Expr, operand: Buffer, start: Expr, group: int) -> Expr:
        """``acc`` + the dot products of four codes, at ``operand[start + 4 * group]``, with four weights a lane."""

    def codes(self, values: Sequence[Expr], result: CodeRange, add: ResidualAdd | None, other: Expr) -> Expr:
        """Int8 codes of one pixel's requantized vectors; ``result`` is the convolution's, ``other`` is for ``add``."""

    def look_up(self, codes: Expr, table: Buffer) -> Expr:
        """``table[code + 128]`` for a tile's channels of one pixel."""
