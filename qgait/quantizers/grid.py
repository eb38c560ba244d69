"""Integer grids: which codes a tensor may take, and the bit-width recipe of a network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from qgait.errors import QgaitError
from qgait.shown import short

MIN_BITS, MAX_BITS = 2, 8
FirstLast = Literal["8", "same"]


@dataclass(frozen=True)
class Grid:
    """Codes lo..hi of one tensor; ``real = (code - zero_point) * step``.

    Its *integers* are ``code - zero_point``: what simulated quantization computes with. 0 is the real number 0.
    """

    lo: int
    hi: int
    zero_point: int

    @property
    def min_integer(self) -> int:
        """The smallest integer, zero or negative."""
        return self.lo - self.zero_point

    @property
    def max_integer(self) -> int:
        """The largest integer."""
        return self.hi - self.zero_point


def activation_grid(bits: int, negative_codes: int) -> Grid:
    """2**bits codes of which ``negative_codes`` are below zero.

    8-bit grids use all of int8 and a zero point; narrower ones fit in int8 as they are and have zero point 0.
    """
    if bits == 8:
        return Grid(-128, 127, -128 + negative_codes)
    return Grid(-negative_codes, 2**bits - 1 - negative_codes, 0)


def weight_limit(bits: int) -> int:
    """The largest weight code: symmetric, narrow range, so that -128 never occurs."""
    return 2 ** (bits - 1) - 1


INPUT_GRID = Grid(-128, 127, -128)  # a silhouette's pixel minus 128
INPUT_STEP = 1 / 255


@dataclass(frozen=True)
class Recipe:
    """Bit widths of a network, written ``w4a4``: 2 to 8 bits each, in any combination.

    The weights of the layers that read the silhouette and of the embedding layer have 8 bits, or with ``first_last``
    "same" those of all others. The embedding layer's input and the embedding itself stay at 8 bits, as do
    pre-activations (a table follows them) and the operands of residual additions: they cost no multiplications.
    Activations that a convolution reads, one over time too, have ``activations`` bits; gates have 8. QgaitError for
    anything else.
    """

    weights: int
    activations: int
    first_last: FirstLast = "8"

    def __post_init__(self) -> None:
        for bits in (self.weights, self.activations):
            if not MIN_BITS <= bits <= MAX_BITS:
                raise QgaitError(f"There is no grid of {bits} bits.", f"use {MIN_BITS} to {MAX_BITS} bits.")
        if self.first_last == "fp":
            raise QgaitError(
                "The first and the last layer cannot stay in floating point: the exported graph computes with integers "
                "from the silhouette to the embedding.",
                "give them 8 bits, or the same as the other layers.",
            )
        if self.first_last not in get_args(FirstLast):
            raise QgaitError(
                f"There is no policy for the first and last layer called '{short(str(self.first_last))}'.",
                f"choose one of {', '.join(get_args(FirstLast))}.",
            )

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """``"w8a8"``, ``"w4a4"``, ...; raises QgaitError for anything else."""
        match = re.fullmatch(r"w(\d)a(\d)", text)
        bits = tuple(map(int, match.groups())) if match else (0, 0)
        if not all(MIN_BITS <= b <= MAX_BITS for b in bits):
            raise QgaitError(
                f"'{short(text)}' is not a bit-width recipe.",
                "write w<bits>a<bits> with 2 to 8 bits, for example w8a8 or w4a4.",
            )
        return cls(bits[0], bits[1])

    def __str__(self) -> str:
        return f"w{self.weights}a{self.activations}"
