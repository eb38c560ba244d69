"""Winograd's minimal filtering F(4 x 4, 3 x 3) in integers (Lavin and Gray, arXiv:1509.09308, section 4.3).

Four outputs in a row, y = A^T [(G g) * (B^T d)], need 6 products instead of 12. G has fractions; here it is split into
an integer matrix and a diagonal that moves into A, so that codes and weights transform exactly:

    g' = [g0, g0 + g1 + g2, g0 - g1 + g2, g0 + 2 g1 + 4 g2, g0 - 2 g1 + 4 g2, g2]    24 y = A^T diag(e) [g' * d']
    e = [6, -4, -4, 1, 1, 24]

In two dimensions |d'| <= 100 * 128 and |g'| <= 49 * 127 fit into int16. Products are summed modulo 2**32. The rows of
A^T diag(e) have common factors, which leaves 3 * 2**k * y with k = 3, 2, 1, 1; after both dimensions the sum is
9 * 2**(k + l) * acc modulo 2**32, and acc follows exactly as long as |acc| < 2**25.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tvm import tirx

from qgait.compiler.tvm.builder import load, local, splat, store, widen

if TYPE_CHECKING:
    from tvm.tirx import PrimExpr

OUTPUTS, TAPS = 4, 3
POINTS = OUTPUTS + TAPS - 1
INVERSE_OF_9 = pow(9, -1, 2**32)
OUTPUT_SHIFTS = (3, 2, 1, 1)
MOST_INPUTS = 128  # channels of one sum: 128 * 9 * 127 * 128 < 2**25

Vectors = Sequence["PrimExpr"]


def _scaled(value: PrimExpr, factor: int, dtype: str, lanes: int) -> PrimExpr:
    return value * splat(factor, dtype, lanes)


def transform_codes(d: Vectors, lanes: int) -> list[PrimExpr]:
    """``B^T d``: six int16 vectors to six."""
    four = [_scaled(x, 4, "int16", lanes) for x in d]
    even, odd = d[4] - four[2], d[3] - four[1]
    outer, inner = d[4] - d[2], _scaled(d[3] - d[1], 2, "int16", lanes)
    first = four[0] - _scaled(d[2], 5, "int16", lanes) + d[4]
    last = four[1] - _scaled(d[3], 5, "int16", lanes) + d[5]
    return [first, even + odd, even - odd, outer + inner, outer - inner, last]


def transform_weights(g: Vectors, lanes: int) -> list[PrimExpr]:
    """The integer part of ``G g``: three int16 vectors to six."""
    near = g[0] + g[2]
    far, middle = g[0] + _scaled(g[2], 4, "int16", lanes), _scaled(g[1], 2, "int16", lanes)
    return [g[0], near + g[1], near - g[1], far + middle, far - middle, g[2]]


def transform_sums(m: Vectors, lanes: int) -> list[PrimExpr]:
    """``A^T diag(e) m`` without its common factors: six int32 vectors to four, modulo 2**32."""

    def combined(*terms: tuple[int, PrimExpr]) -> PrimExpr:
        """A sum of multiples; taken in 64 bits and cut to 32, which LLVM turns into 32-bit instructions that wrap."""
        wide = [_scaled(widen(value, "int64", lanes), factor, "int64", lanes) for factor, value in terms]
        return widen(sum(wide[1:], wide[0]), "int32", lanes)

    near_sum, near_difference = combined((1, m[1]), (1, m[2])), combined((1, m[1]), (-1, m[2]))
    far_sum, far_difference = combined((1, m[3]), (1, m[4])), combined((1, m[3]), (-1, m[4]))
    return [
        combined((6, m[0]), (-4, near_sum), (1, far_sum)),
        combined((1, far_difference), (-2, near_difference)),
        combined((1, far_sum), (-1, near_sum)),
        combined((2, far_difference), (-1, near_difference), (6, m[5])),
    ]


def accumulators(scaled: PrimExpr, row: int, column: int, lanes: int) -> PrimExpr:
    """The int32 accumulators behind the transformed sums of output (row, column) of a tile."""
    exact = widen(widen(scaled, "int64", lanes) * splat(INVERSE_OF_9, "int64", lanes), "int32", lanes)
    return tirx.shift_right(exact, splat(OUTPUT_SHIFTS[row] + OUTPUT_SHIFTS[column], "int32", lanes))


def two_dimensions(
    transform: Callable[[Vectors, int], list[PrimExpr]],
    values: Callable[[int, int], PrimExpr],
    size: tuple[int, int],
    dtype: str,
    lanes: int,
) -> Callable[[int, int], PrimExpr]:
    """``transform`` on the columns and then on the rows of ``size[0]`` x ``size[0]`` vectors; gives size[1] squared."""
    given, made = size
    middle, result = local(made * given * lanes, dtype), local(made * made * lanes, dtype)
    for column in range(given):
        for row, value in enumerate(transform([values(r, column) for r in range(given)], lanes)):
            store(middle, (row * given + column) * lanes, value, lanes)
    for row in range(made):
        across = [load(middle, (row * given + column) * lanes, lanes) for column in range(given)]
        for column, value in enumerate(transform(across, lanes)):
            store(result, (row * made + column) * lanes, value, lanes)
    return lambda row, column: load(result, (row * made + column) * lanes, lanes)
