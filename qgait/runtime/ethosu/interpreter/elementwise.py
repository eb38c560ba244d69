"""NPU_OP_ELEMENTWISE on two maps of one shape, or a map and one that is repeated along axes.

Operand A is IFM and operand B is IFM2, or the other way round. A sum scales its operands first: both by 16-bit factors
OPA_SCALE and OPB_SCALE, or one of them by OPA_SCALE with 32 bits, a shift and rounding while the other is shifted left
by a fixed number of bits, 19 of an 8-bit map.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qgait.runtime.ethosu.interpreter.errors import broken, not_modelled
from qgait.runtime.ethosu.interpreter.feature_maps import feature_map, output_shape, zero_point
from qgait.runtime.ethosu.interpreter.memory import Memory
from qgait.runtime.ethosu.interpreter.output import finish
from qgait.runtime.ethosu.interpreter.registers import Registers
from qgait.runtime.ethosu.interpreter.scaling import scaled

MUL, ADD, SUB, MIN, MAX = 0, 1, 2, 3, 4
ONE_OF = {MUL: "MUL", ADD: "ADD", SUB: "SUB", MIN: "MIN", MAX: "MAX"}
BOTH_BY_16_BITS, A_BY_32_BITS, B_BY_32_BITS = 0, 1, 2  # what a sum scales
FIXED_SHIFT = {1: 19, 2: 14}  # of the other operand, by bytes of a code
REPEAT_ROW, REPEAT_COLUMN, REPEAT_CHANNEL, IFM2_FIRST, CONSTANT = 0, 1, 2, 6, 7  # bits of IFM2_BROADCAST
Values = NDArray[np.int64]


def elementwise(registers: Registers, memory: Memory, mode: int) -> None:
    """One operation, from memory to memory."""
    if mode not in ONE_OF:
        raise not_modelled(f"NPU_OP_ELEMENTWISE {mode}")
    shape = output_shape(registers)
    if registers["IFM_DEPTH_M1"] + 1 != shape[2]:
        raise not_modelled("NPU_OP_ELEMENTWISE with another number of channels in than out")
    ifm = feature_map(registers, "IFM")
    a: Values = ifm.read(memory, shape).astype(np.int64) - ifm.zero_point
    b = _second(registers, memory, shape)
    if registers.bits("IFM2_BROADCAST", IFM2_FIRST):
        a, b = b, a
    match mode:
        case 0:
            result = a * b
        case 1 | 2:
            a, b = _operands(registers, a, b, ifm.dtype.itemsize)
            result = a + b if mode == ADD else a - b
        case 3:
            result = np.minimum(a, b)
        case _:
            result = np.maximum(a, b)
    finish(registers, memory, np.broadcast_to(result, shape), scale=mode in (MUL, ADD, SUB))


def _second(registers: Registers, memory: Memory, shape: tuple[int, int, int]) -> Values:
    if registers.bits("IFM2_BROADCAST", CONSTANT):
        signed = registers.bits("IFM2_PRECISION", 0)
        value = registers.signed("IFM2_SCALAR") if signed else registers["IFM2_SCALAR"]
        return np.full((1, 1, 1), value - zero_point(registers, "IFM2"), np.int64)
    ifm2 = feature_map(registers, "IFM2")
    repeated = (registers.bits("IFM2_BROADCAST", bit) for bit in (REPEAT_ROW, REPEAT_COLUMN, REPEAT_CHANNEL))
    height, width, channels = (1 if once else size for size, once in zip(shape, repeated, strict=True))
    return ifm2.read(memory, (height, width, channels)).astype(np.int64) - ifm2.zero_point


def _operands(registers: Registers, a: Values, b: Values, width: int) -> tuple[Values, Values]:
    """The operands of a sum, scaled; ``width`` is bytes of a code."""
    how = registers.bits("IFM_PRECISION", 8, 2)
    multiplier, shift = registers.scale("OPA_SCALE")
    other = registers["OPB_SCALE"] & 0xFFFF
    if how == BOTH_BY_16_BITS:
        if shift:
            raise not_modelled(f"NPU_SET_OPA_SCALE with a shift of {shift} of 16-bit factors")
        return a * (multiplier & 0xFFFF), b * other
    if how not in (A_BY_32_BITS, B_BY_32_BITS) or width not in FIXED_SHIFT:
        raise not_modelled(f"NPU_SET_IFM_PRECISION with scale mode {how} of {8 * width} bits")
    if other:
        raise broken(
            f"has {other} in NPU_SET_OPB_SCALE, which is lost: its sum shifts that operand by {FIXED_SHIFT[width]}"
        )
    rounding = registers.bits("IFM_PRECISION", 14, 2)
    if how == A_BY_32_BITS:
        return scaled(a, multiplier, shift, rounding), b << FIXED_SHIFT[width]
    return a << FIXED_SHIFT[width], scaled(b, multiplier, shift, rounding)
