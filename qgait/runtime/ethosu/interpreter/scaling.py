"""From accumulators to outputs: the multiplication, the shift and the rounding, for all channels or for each.

A channel's record has 10 bytes: a bias of 40 bits in two's complement, a multiplier of 32 bits without sign and a
shift of 6 bits. The rounding modes, with p = value * multiplier and s = shift:

    NATURAL   (p + 2**(s - 1)) >> s                             half up, TOSA's SINGLE_ROUND
    DBL       NATURAL of p + 2**30, or p - 2**30 where value < 0, when s > 31         TOSA's DOUBLE_ROUND
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qgait.runtime.ethosu.interpreter.errors import broken, not_modelled
from qgait.runtime.ethosu.interpreter.memory import Memory
from qgait.runtime.ethosu.interpreter.registers import Registers

DBL, TRUNCATE, NATURAL = 0, 1, 2
RECORD = 10  # bytes
RECORDS = ("SCALE", "SCALE1")  # one table a core
LARGEST_PRODUCT = 2.0**62  # what is added for rounding must still fit in 64 bits
Accumulators = NDArray[np.int64]


def scaled(
    values: Accumulators, multiplier: int | Accumulators, shift: int | Accumulators, rounding: int
) -> Accumulators:
    """``values * multiplier >> shift``, rounded; multiplier and shift broadcast against the channels."""
    m, s = np.asarray(multiplier, np.int64), np.asarray(shift, np.int64)
    if np.abs(values).max() * float(m.max()) >= LARGEST_PRODUCT:
        raise broken("multiplies accumulators to more than 62 bits")
    half: Accumulators = np.left_shift(1, s) >> 1
    if rounding == DBL:
        half = half + np.where(s > 31, 2**30, 0) * np.where(values < 0, -1, 1)
    elif rounding != NATURAL and s.any():
        raise not_modelled(f"the rounding mode {rounding}")
    result: Accumulators = (values * m + half) >> s
    return result


def channel_scales(
    registers: Registers, memory: Memory, channels: int, cores: int
) -> tuple[Accumulators, Accumulators, Accumulators]:
    """(bias, multiplier, shift) of every output channel, int64 [C] each."""
    bias, multiplier, shift = np.empty((3, channels), np.int64)
    for core in range(min(cores, channels)):
        name = RECORDS[core]
        count = len(range(core, channels, cores))
        if registers[f"{name}_LENGTH"] < count * RECORD:
            raise broken(f"has {registers[f'{name}_LENGTH']} bytes of scales for {count} channels")
        start = registers[f"{name}_BASE"]
        records = memory.read(registers["SCALE_REGION"], start, (count, RECORD)).astype(np.int64)
        places = np.array([1 << 8 * i for i in range(5)])
        unsigned = records[:, :5] @ places
        bias[core::cores] = np.where(unsigned >= 1 << 39, unsigned - (1 << 40), unsigned)
        multiplier[core::cores] = records[:, 5:9] @ places[:4]
        shift[core::cores] = records[:, 9] & 0x3F
    return bias, multiplier, shift
