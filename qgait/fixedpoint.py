"""The integer rule: how an int32 accumulator becomes an int8 code. Everything else quotes this file.

    requantize(acc) = clip(((acc * m + (1 << (s - 1))) >> s) + zero_point, lo, hi)

One rounding, half up (towards plus infinity), arithmetic shift, product in 64 bits: RESCALE with SINGLE_ROUND and
scale32 of the TOSA 1.0 specification. ``m`` lies in [2**30, 2**31), ``s`` in [2, 62], and ``|acc| < 2**(s - 1)``.

The real multiplier M = s_in * s_w / s_out is rounded to float32 once. A float32 has a 24-bit mantissa, so it *is*
m / 2**s with the low bits of m zero: nothing is approximated when a model is exported, and acc * M + 0.5 is exact in
float64 for |acc| < 2**28. That is why simulated quantization in float64 and the integers agree on every code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_SHIFT, MAX_SHIFT = 2, 62
MAX_ACCUMULATOR = 2**28  # acc * M is exact in float64 below this
MAX_ADD_FACTOR = 2**14  # the widest operand multiplier that every NPU fuses into one ADD

Int = NDArray[np.integer]


def encode_multiplier(real: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Integers (m, s) with ``m / 2**s == real`` exactly; ``real`` is float32 and positive.

    Raises ValueError when a multiplier is not finite, not positive, or outside what s in [2, 62] can express.
    """
    values = np.asarray(real)
    if values.dtype != np.float32:
        raise ValueError(f"multipliers must be float32, not {values.dtype}")
    if not np.all(np.isfinite(values)) or np.any(values <= 0):
        raise ValueError("multipliers must be finite and positive")
    mantissa, exponent = np.frexp(values.astype(np.float64))  # mantissa in [0.5, 1)
    m = (mantissa * 2.0**31).astype(np.int64)
    s = 31 - exponent
    if np.any(s < MIN_SHIFT) or np.any(s > MAX_SHIFT):
        raise ValueError(f"multiplier {values.max():g} or {values.min():g} needs a shift outside [2, 62]")
    return m.astype(np.int32), s.astype(np.int8)


def decode_multiplier(m: ArrayLike, s: ArrayLike) -> NDArray[np.float64]:
    """The real multiplier ``m / 2**s``."""
    return np.ldexp(np.asarray(m, np.float64), -np.asarray(s, np.int64))


def requantize(acc: ArrayLike, m: ArrayLike, s: ArrayLike, zero_point: int, lo: int, hi: int) -> NDArray[np.int8]:
    """Int8 codes of int32 accumulators; ``m`` and ``s`` broadcast against ``acc``."""
    shift = np.asarray(s, np.int64)
    half = np.left_shift(np.int64(1), shift - 1)
    rounded = (np.asarray(acc, np.int64) * np.asarray(m, np.int64) + half) >> shift
    return np.clip(rounded + zero_point, lo, hi).astype(np.int8)


def add_factors(s_a: float, s_b: float) -> tuple[int, int]:
    """Integers (ka, kb), at most 2**14, whose ratio is nearest to ``s_a / s_b``; the larger one is 2**14."""
    if s_a >= s_b:
        return MAX_ADD_FACTOR, max(1, int(np.floor(MAX_ADD_FACTOR * (s_b / s_a) + 0.5)))
    return max(1, int(np.floor(MAX_ADD_FACTOR * (s_a / s_b) + 0.5))), MAX_ADD_FACTOR
