"""The integer rule in 32 bits."""

from __future__ import annotations

import numpy as np

from qgait.compiler.tvm.rescaling import LARGEST_RISE, rescaling
from qgait.export.operators import Requant
from qgait.fixedpoint import encode_multiplier, requantize


def test_the_rule_in_32_bits_is_exact() -> None:
    """Every multiplier of 24 bits, accumulators at the ties: the nested floors of ``rescaling``."""
    rng = np.random.default_rng(0)
    m, s = encode_multiplier(np.exp(rng.uniform(np.log(2.0**-30), np.log(2.0**9), 20000)).astype(np.float32))
    ties = np.round((rng.integers(-140, 140, 20000) + 0.5) * 2.0 ** s.astype(float) / m)
    acc = np.clip(ties + rng.integers(-2, 3, 20000), -(2**28), 2**28).astype(np.int64)
    for product_shift in (31, 32):
        rows = rescaling(Requant(m, s), 20000, product_shift)
        assert rows is not None
        multiplier, n, k = rows.astype(np.int64)
        limit = (np.int64(1) << (31 - k)) - 1
        high = ((np.clip(acc, -limit, limit) << k) * multiplier) >> product_shift
        found = np.clip((high + (np.int64(1) << (n - 1))) >> n, -128, 127)
        np.testing.assert_array_equal(found, requantize(acc, m, s, 0, -128, 127))


def test_what_does_not_fit_is_declined() -> None:
    for product_shift in (31, 32):
        smallest = product_shift + 1 - LARGEST_RISE
        m = np.array([2**30], np.int32)
        assert rescaling(Requant(m, np.array([smallest], np.int8)), 1, product_shift) is not None
        assert rescaling(Requant(m, np.array([smallest - 1], np.int8)), 1, product_shift) is None
