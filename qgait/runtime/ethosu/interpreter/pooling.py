"""NPU_OP_POOL: the maximum or the sum of windows, or the sum over channels."""

from __future__ import annotations

import numpy as np

from qgait.runtime.ethosu.interpreter.convolution import padded_input, windows
from qgait.runtime.ethosu.interpreter.errors import not_modelled
from qgait.runtime.ethosu.interpreter.feature_maps import feature_map, output_shape
from qgait.runtime.ethosu.interpreter.memory import Memory
from qgait.runtime.ethosu.interpreter.output import finish
from qgait.runtime.ethosu.interpreter.registers import Registers
from qgait.runtime.ethosu.interpreter.weights import kernel

MAX, AVERAGE, REDUCE_SUM = 0, 1, 2


def pool(registers: Registers, memory: Memory, mode: int) -> None:
    """One pooling, from memory to memory. AVERAGE sums; what it divides by is in OFM_SCALE."""
    height, width, channels = output_shape(registers)
    found = kernel(registers)
    if mode == REDUCE_SUM:
        if channels != 1 or found.reach != (1, 1):
            raise not_modelled("NPU_OP_POOL REDUCE_SUM with a kernel or several results")
        ifm = feature_map(registers, "IFM")
        values = ifm.read(memory, (height, width, registers["IFM_DEPTH_M1"] + 1)).astype(np.int64)
        finish(registers, memory, (values - ifm.zero_point).sum(axis=2, keepdims=True))
        return
    if mode not in (MAX, AVERAGE):
        raise not_modelled(f"NPU_OP_POOL {mode}")
    if mode == AVERAGE and any(registers[f"IFM_PAD_{side}"] for side in ("TOP", "LEFT", "BOTTOM", "RIGHT")):
        raise not_modelled("NPU_OP_POOL AVERAGE with padding")
    border = -np.inf if mode == MAX else 0
    padded = padded_input(registers, memory, found, (height, width), channels, border)
    join = np.maximum if mode == MAX else np.add
    total = np.full((height, width, channels), border, np.float64)
    for _, seen in windows(padded, found, (height, width)):
        join(total, seen, out=total)
    finish(registers, memory, total.astype(np.int64))
