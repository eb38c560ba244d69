"""Operators in TOSA that make every code of codes in the same place, in forms that Ethos-U compilers fuse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qgait.errors import QgaitError
from qgait.export.operators import Add, FrameMax, Multiply, Requant, Table, Tensor
from qgait.export.tosa.builder import PROPAGATE, UNCHANGED, TosaBuilder, of_one_multiplier
from qgait.fixedpoint import MAX_SHIFT

ADD_SHIFT = 19  # of the operand that Ethos-U does not multiply
CODES = Tensor("codes", (), np.ones((), np.float32))


def table(b: TosaBuilder, op: Table, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    return b.add("TABLE", [*inputs, b.constant(op.table)], b.shape(inputs[0]))


def add(b: TosaBuilder, op: Add, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """Ethos-U55 and U65 multiply both operands by one 16-bit factor, or one by 32 bits and shift the other by 19.

    Vela fuses two unequal 16-bit factors too, but what it writes then loses the larger one.
    """
    larger = max(op.factors)
    wider = 0 if op.factors[0] == op.factors[1] else ADD_SHIFT - (larger.bit_length() - 1)
    requant = Requant(op.requant.multiplier, (op.requant.shift + wider).astype(np.int8))
    if requant.shift.max() > MAX_SHIFT:
        raise QgaitError(f"{op.name} scales its sum by less than 2**-26.", "look at the scales of its tensors.")
    terms = [
        b.widened(x, source.zero_point, factor << wider)
        for x, source, factor in zip(inputs, sources, op.factors, strict=True)
    ]
    return b.requantized(b.add("ADD", terms, b.shape(inputs[0]), "int32"), requant, result)


def multiply(b: TosaBuilder, op: Multiply, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """Slices stand before everything else: what Vela 5.2 makes of a RESCALE that reads one forgets where it lies."""
    x, gate = inputs
    if len(b.shape(gate)) < len(b.shape(x)):
        n, _, channels = b.shape(gate)
        gate = b.reshape(gate, (n, 1, 1, channels))
    if len(b.shape(x)) == 4:
        return b.requantized(_product(b, (x, gate), sources), op.requant, result)
    parts = []
    for start, stop, requant in of_one_multiplier(op.requant):
        some = [b.slice(codes, 1, start, stop - start) for codes in (x, gate)]
        parts.append(b.requantized(_product(b, some, sources), requant, result))
    return b.concat(parts, axis=1)


def _product(b: TosaBuilder, codes: Sequence[str], sources: list[Tensor]) -> str:
    terms = [b.widened(x, source.zero_point) for x, source in zip(codes, sources, strict=True)]
    return b.add("MUL", [*terms, b.scalar(0)], b.shape(codes[0]), "int32")


def frame_max(b: TosaBuilder, op: FrameMax, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """The maximum over all values, or the larger of the running maximum before and one value."""
    return _larger(b, inputs) if len(inputs) > 1 else b.reduce("REDUCE_MAX", inputs[0], 0)


def _larger(b: TosaBuilder, codes: Sequence[str]) -> str:
    """The larger of two codes. TOSA's MAXIMUM takes int32; Vela makes one int8 operator of this."""
    terms = [b.widened(x, 0) for x in codes]
    largest = b.add("MAXIMUM", terms, b.shape(codes[0]), "int32", {"NanMode": PROPAGATE})
    return b.requantized(largest, UNCHANGED, CODES)
