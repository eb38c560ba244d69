"""How tests compare codes: bit for bit, and never against something that would pass by accident."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def assert_codes_equal(actual: ArrayLike, expected: ArrayLike, where: str = "") -> None:
    """Fails unless dtype, shape and every code agree; refuses an ``expected`` that is constant or empty.

    A constant is what a broken pipeline and a broken reference agree on most easily.
    """
    got, wanted = np.asarray(actual), np.asarray(expected)
    assert wanted.size > 1, f"{where} nothing to compare"
    assert wanted.min() != wanted.max(), f"{where} expected codes are constant ({wanted.flat[0]}): this proves nothing"
    assert got.dtype == wanted.dtype, f"{where} dtype {got.dtype}, expected {wanted.dtype}"
    np.testing.assert_array_equal(got, wanted, err_msg=where)
