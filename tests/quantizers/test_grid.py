from __future__ import annotations

import pytest

from qgait.errors import QgaitError
from qgait.quantizers.grid import Recipe, activation_grid, weight_limit


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("negative", [0, 1, 2])
def test_a_grid_has_two_to_the_bits_codes_within_int8(bits: int, negative: int) -> None:
    grid = activation_grid(bits, negative)
    assert grid.hi - grid.lo + 1 == 2**bits
    assert -128 <= grid.lo <= grid.zero_point <= grid.hi <= 127
    assert grid.min_integer == -negative
    assert grid.zero_point == 0 or bits == 8


def test_weights_never_are_minus_128() -> None:
    assert [weight_limit(bits) for bits in (2, 4, 8)] == [1, 7, 127]


@pytest.mark.parametrize("text", ["w8a8", "w4a4", "w2a8"])
def test_recipes_are_written_as_they_are_read(text: str) -> None:
    assert str(Recipe.parse(text)) == text


@pytest.mark.parametrize("text", ["", "8", "w9a8", "w1a4", "w4a", "W4A4", "w16a16", "int8"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(QgaitError, match="w8a8 or w4a4"):
        Recipe.parse(text)


@pytest.mark.parametrize("bits", [(1, 4), (4, 9), (0, 0)])
def test_other_widths_than_two_to_eight_are_refused(bits: tuple[int, int]) -> None:
    with pytest.raises(QgaitError, match="use 2 to 8 bits"):
        Recipe(*bits)


def test_float_ends_are_refused_with_the_reason() -> None:
    with pytest.raises(QgaitError, match="computes with integers from the silhouette to the embedding"):
        Recipe(4, 4, "fp")  # type: ignore[arg-type]
    with pytest.raises(QgaitError, match="no policy for the first and last layer called '16'"):
        Recipe(4, 4, "16")  # type: ignore[arg-type]
