"""From the sums of a convolution to its codes: the integer rule with a multiplier for every output channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qgait.compiler.tvm.builder import Function, Index, load
from qgait.compiler.tvm.instruction_set import InstructionSet
from qgait.compiler.tvm.requantize import codes_of
from qgait.compiler.tvm.rescaling import Int32, rescaling
from qgait.export.operators import Convolution, Requant, Tensor

if TYPE_CHECKING:
    from tvm.tirx import PrimExpr


class ChannelRule:
    """Bias, multiplier and shift of every output channel, padded with harmless ones to whole blocks of channels."""

    def __init__(
        self, f: Function, conv: Convolution, made: Tensor, channels: int, instructions: InstructionSet
    ) -> None:
        count = len(conv.bias)
        missing = (0, -count % channels)
        multiplier = np.broadcast_to(conv.requant.multiplier, count)
        shift = np.broadcast_to(conv.requant.shift, count).astype(np.int32)
        self.bias = f.constant(np.pad(conv.bias, missing), "int32")
        self._multiplier = f.constant(np.pad(multiplier, missing, constant_values=2**30), "int32")
        self._shift = f.constant(np.pad(shift, missing, constant_values=30), "int32")
        self._made, self._rounded, self._short = made, instructions.rounded, instructions.rescaling
        self._rows = [f.constant(row, "int32") for row in self._short_rows(conv.requant, count, missing)]

    def lanes(self, channels: int) -> int:
        """How many of ``channels`` sums are best requantized at once."""
        return self._short.lanes if self._short is not None and self._rows else channels

    def codes(self, sums: PrimExpr, first: Index, lanes: int) -> PrimExpr:
        """Int8 codes of the sums of channels ``first`` and up."""
        return codes_of(self.rescaled(sums, first, lanes), self._made, lanes)

    def rescaled(self, sums: PrimExpr, first: Index, lanes: int) -> PrimExpr:
        """The same in int32, before the zero point is added, not clipped."""
        if self._short is not None and self._rows:
            return self._short.rescaled(sums, [load(row, first, lanes) for row in self._rows])
        return self._rounded(sums, load(self._multiplier, first, lanes), load(self._shift, first, lanes), lanes)

    def _short_rows(self, requant: Requant, count: int, missing: tuple[int, int]) -> tuple[Int32, ...]:
        """The constants of the rule in 32 bits; none where the processor is not quick at that, or it does not do."""
        numbers = None if self._short is None else rescaling(requant, count, self._short.product_shift)
        if self._short is None or numbers is None:
            return ()
        m, n = (np.pad(row, missing, constant_values=1) for row in numbers[:2])
        k = np.pad(numbers[2], missing, constant_values=int(numbers[2].any()))  # none where no channel needs one
        return self._short.rows(m, n, k) or ()
