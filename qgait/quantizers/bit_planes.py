"""Weights of 2 to 7 bits in as many bits: planes of 4, 2 and 1 bits of every number, each a row of whole bytes.

A number in two's complement is cut from the top: 4 bits are one plane, 3 are a plane of 2 and one of 1, 7 are planes of
4, 2 and 1. In a plane a byte holds the pieces of 8, 4 or 2 numbers that follow each other, the first in its lowest
bits; bits of the last byte that are nobody's are zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from qgait.quantizers.grid import MAX_BITS, MIN_BITS, weight_limit

Plane = NDArray[np.uint8]
Codes = NDArray[np.int8]

WIDTHS = (4, 2, 1)  # of planes


def fewest_bits(codes: Codes) -> int:
    """Of the narrowest symmetric grid, 2 to 8 bits, that has all ``codes``, which are never -128."""
    largest = int(np.abs(codes.astype(np.int16)).max(initial=0))
    return next(bits for bits in range(MIN_BITS, MAX_BITS + 1) if largest <= weight_limit(bits))


def widths(bits: int) -> list[int]:
    """The bits of every plane of numbers of 2 to 7 ``bits``, the highest first."""
    return [width for width in WIDTHS if bits & width]


def plane_bytes(count: int, width: int) -> int:
    """Bytes of a plane of ``width`` bits of so many numbers."""
    return -(-count * width // 8)


def pack(codes: Codes, bits: int) -> list[Plane]:
    """The planes, uint8 [bytes], of ``codes`` of any shape on the grid of 2 to 7 ``bits``."""
    numbers, left = codes.reshape(-1).astype(np.uint8), bits
    planes = []
    for width in widths(bits):
        left -= width
        pieces = np.zeros((plane_bytes(codes.size, width), 8 // width), np.uint8)
        pieces.reshape(-1)[: codes.size] = (numbers >> left) & (2**width - 1)
        planes.append(np.bitwise_or.reduce(pieces << _places(width), axis=1, dtype=np.uint8))
    return planes


def unpack(planes: Sequence[Plane], bits: int, shape: tuple[int, ...]) -> Codes:
    """The inverse of ``pack``, int8. ValueError, with a clause that says so, for what ``pack`` does not make."""
    count, left = prod(shape), bits
    for plane, width in zip(planes, widths(bits), strict=True):
        if plane.shape != (plane_bytes(count, width),):
            wanted = f"{plane_bytes(count, width)} bytes for {count} pieces of {width} bits"
            raise ValueError(f"has {plane.size} where it needs {wanted}")
    codes = np.zeros(count, np.int8)
    for plane, width in zip(planes, widths(bits), strict=True):
        pieces = ((plane[:, np.newaxis] >> _places(width)) & (2**width - 1)).reshape(-1)
        if pieces[count:].any():
            raise ValueError("has bits set behind its last number")
        left -= width
        codes |= (pieces[:count] << left).astype(np.int8)
    sign = np.int8(1 << (bits - 1))
    codes = (codes ^ sign) - sign
    require_narrow(codes, bits)
    return codes.reshape(shape)


def require_narrow(codes: Codes, bits: int) -> None:
    """ValueError, with a clause that says so, for a code beyond the symmetric grid of 2 to 8 ``bits``."""
    limit = weight_limit(bits)
    if codes.size and codes.min() < -limit:
        raise ValueError(f"has the code {codes.min()}, which is not one of {-limit} to {limit}")


def table(bits: int, plane: int) -> NDArray[np.int8]:
    """Int8 [256, 8 // width]: what the bytes of a plane are worth, number by number; worths are joined by OR.

    ``plane`` counts from 0, the highest, which has the sign.
    """
    width, left = widths(bits)[plane], sum(widths(bits)[plane + 1 :])
    pieces = (np.arange(256, dtype=np.int16)[:, np.newaxis] >> _places(width)) & (2**width - 1)
    if plane == 0:
        pieces = (pieces ^ (1 << (width - 1))) - (1 << (width - 1))
    return (pieces << left).astype(np.int8)


def _places(width: int) -> NDArray[np.uint8]:
    """Where in a byte the pieces begin."""
    return np.arange(0, 8, width, dtype=np.uint8)
