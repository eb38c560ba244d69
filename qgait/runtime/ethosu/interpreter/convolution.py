"""NPU_OP_CONV and NPU_OP_DEPTHWISE: sums of (input - zero point) * weight + bias, scaled per output channel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qgait.runtime.ethosu.interpreter.errors import broken, not_modelled
from qgait.runtime.ethosu.interpreter.feature_maps import feature_map, output_shape
from qgait.runtime.ethosu.interpreter.memory import Memory
from qgait.runtime.ethosu.interpreter.output import finish
from qgait.runtime.ethosu.interpreter.registers import Registers
from qgait.runtime.ethosu.interpreter.scaling import channel_scales, scaled
from qgait.runtime.ethosu.interpreter.weights import Kernel, WeightReader, kernel

ACCUMULATOR_BITS = {0: 32, 1: 40}  # by ACC_FORMAT


def convolution(registers: Registers, memory: Memory, reader: WeightReader, depthwise: bool) -> None:
    """One convolution, from memory to memory."""
    height, width, channels = output_shape(registers)
    inputs = channels if depthwise else registers["IFM_DEPTH_M1"] + 1
    if depthwise and registers["IFM_DEPTH_M1"] + 1 != inputs:
        raise not_modelled("a depthwise convolution with another number of channels in than out")
    if feature_map(registers, "IFM").dtype.itemsize != 1:
        raise not_modelled("a convolution of 16-bit inputs in NPU_SET_IFM_PRECISION")
    weights = reader.read(registers, memory, channels, 0 if depthwise else inputs)
    found = kernel(registers)
    padded = padded_input(registers, memory, found, (height, width), inputs)
    total = np.zeros((height * width, channels))
    for (row, column), seen in windows(padded, found, (height, width)):
        seen = seen.reshape(height * width, inputs)
        total += seen * weights[row, column, 0] if depthwise else seen @ weights[row, column]
    bias, multiplier, shift = channel_scales(registers, memory, channels, reader.cores)
    accumulators = total.astype(np.int64).reshape(height, width, channels) + bias
    _check_accumulators(registers, accumulators)
    if registers.bits("OFM_PRECISION", 8):
        raise not_modelled("NPU_SET_OFM_PRECISION with one scale for all channels of a convolution")
    rounding = registers.bits("OFM_PRECISION", 14, 2)
    finish(registers, memory, scaled(accumulators, multiplier, shift, rounding), scale=False)


def padded_input(
    registers: Registers, memory: Memory, found: Kernel, results: tuple[int, int], channels: int, border: float = 0
) -> NDArray[np.float64]:
    """Input - zero point, float64 [H, W, C], with ``border`` around it where the registers ask for padding."""
    ifm = feature_map(registers, "IFM")
    if registers["IFM_UPSCALE"]:
        raise not_modelled(f"NPU_SET_IFM_UPSCALE {registers['IFM_UPSCALE']}")
    needed = [(n - 1) * step + reach for n, step, reach in zip(results, found.stride, found.reach, strict=True)]
    top, left, bottom, right = (registers[f"IFM_PAD_{side}"] for side in ("TOP", "LEFT", "BOTTOM", "RIGHT"))
    padded = np.full((*needed, channels), border, np.float64)
    height, width = needed[0] - top - bottom, needed[1] - left - right
    if height < 1 or width < 1:
        raise broken("pads more than its kernel sees")
    values = ifm.read(memory, (height, width, channels))
    padded[top : top + height, left : left + width] = values.astype(np.float64) - ifm.zero_point
    return padded


def windows(
    padded: NDArray[np.float64], found: Kernel, results: tuple[int, int]
) -> Iterator[tuple[tuple[int, int], NDArray[np.float64]]]:
    """For every element of the kernel: (its row and column, what all results see there [H', W', C])."""
    height, width = results
    down, across = found.stride
    for row in range(found.rows):
        for column in range(found.columns):
            y, x = row * found.dilation[0], column * found.dilation[1]
            yield (row, column), padded[y : y + height * down : down, x : x + width * across : across]


def _check_accumulators(registers: Registers, accumulators: NDArray[np.int64]) -> None:
    bits = ACCUMULATOR_BITS.get(registers["ACC_FORMAT"])
    if bits is None:
        raise not_modelled(f"NPU_SET_ACC_FORMAT {registers['ACC_FORMAT']} of a convolution")
    if accumulators.min() < -(1 << bits - 1) or accumulators.max() >= 1 << bits - 1:
        raise broken(f"has accumulators of more than {bits} bits")
