"""The last step of every operation: scale, zero point, limits, table, and the way to memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from qgait.runtime.ethosu.interpreter.errors import broken, not_modelled
from qgait.runtime.ethosu.interpreter.feature_maps import FeatureMap, feature_map
from qgait.runtime.ethosu.interpreter.memory import SHRAM, Memory
from qgait.runtime.ethosu.interpreter.registers import Registers
from qgait.runtime.ethosu.interpreter.scaling import scaled

NONE, FIRST_TABLE, TABLES = 0, 16, 8  # activation functions
TABLE_BYTES, TABLE_BANKS = 256, 2048  # a table of 8-bit codes; the end of SHRAM where tables lie
OFM_PRECISION, FORCE_INT8, FORCE_INT16 = 0, 3, 5  # what the limits are those of
FORCED: dict[int, DTypeLike] = {FORCE_INT8: np.int8, FORCE_INT16: np.int16}


def finish(registers: Registers, memory: Memory, accumulators: NDArray[np.int64], scale: bool = True) -> None:
    """Writes what ``accumulators`` [H, W, C] become; ``scale``: whether OFM_SCALE applies to them."""
    ofm = feature_map(registers, "OFM")
    if scale:
        if not registers.bits("OFM_PRECISION", 8):
            raise not_modelled("NPU_SET_OFM_PRECISION with one scale a channel outside a convolution")
        accumulators = scaled(accumulators, *registers.scale("OFM_SCALE"), registers.bits("OFM_PRECISION", 14, 2))
    ofm.write(memory, _activated(registers, memory, accumulators + ofm.zero_point, ofm))


def table_start(memory: Memory) -> int:
    """Where the first table lies in SHRAM: the last two banks hold the tables."""
    return memory.regions[SHRAM].data.size - TABLE_BANKS


def uses_table(registers: Registers) -> bool:
    """Whether the operation looks its results up."""
    return registers.bits("ACTIVATION", 0, 12) >= FIRST_TABLE


def _activated(registers: Registers, memory: Memory, values: NDArray[np.int64], ofm: FeatureMap) -> NDArray[np.int64]:
    function, limits = registers.bits("ACTIVATION", 0, 12), registers.bits("ACTIVATION", 12, 4)
    if function != NONE and not FIRST_TABLE <= function < FIRST_TABLE + TABLES:
        raise not_modelled(f"NPU_SET_ACTIVATION with function {function}")
    if limits != OFM_PRECISION and limits not in FORCED:
        raise not_modelled(f"NPU_SET_ACTIVATION with clip range {limits}")
    values = _limited(registers, values, ofm, limits)
    if function == NONE:
        return values
    if ofm.dtype != np.dtype("i1"):
        raise not_modelled(f"a table of {ofm.dtype.name} in NPU_SET_ACTIVATION")
    if (registers.signed("ACTIVATION_MIN"), registers.signed("ACTIVATION_MAX")) != (-128, 127):
        raise not_modelled("limits of a table in NPU_SET_ACTIVATION_MIN and MAX")
    start = table_start(memory) + (function - FIRST_TABLE) * TABLE_BYTES
    table = memory.read(SHRAM, start, (TABLE_BYTES,), np.int8)
    return table[values + 128].astype(np.int64)


def _limited(registers: Registers, values: NDArray[np.int64], ofm: FeatureMap, limits: int) -> NDArray[np.int64]:
    """32-bit results have no limits unless the activation forces those of a smaller type."""
    info = np.iinfo(ofm.dtype)
    if ofm.dtype.itemsize == 4 and limits == OFM_PRECISION:
        if values.min() < info.min or values.max() > info.max:
            raise broken("has results that do not fit in 32 bits")
        return values
    read = registers.signed if info.min < 0 else registers.__getitem__
    lo, hi = read("ACTIVATION_MIN"), read("ACTIVATION_MAX")
    forced = np.iinfo(FORCED[limits]) if limits in FORCED else info
    return np.clip(values, max(lo, forced.min), min(hi, forced.max))
