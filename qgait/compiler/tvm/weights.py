"""Weights of 2 to 7 bits: packed in the library, and unpacked into scratch memory just before a kernel reads them.

What a kernel reads together is a *piece*, such as the weights of one tile of channels. A piece is cut into groups of
128 weights, and the bits of a group into planes of 4, 2 and 1 bits (5 = 4 + 1), the highest bits first. In a vector of
a plane of b bits, byte j holds weights j, j + 16, j + 32, ... of the group, the first in its lowest b bits: shifts of
whole vectors bring all of them back in order, and no lane is moved to another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Function, Index, load, splat, store

VECTOR = 16  # weights in a vector
VECTORS = 8  # of a group
GROUP = VECTOR * VECTORS
UNPACKED_AT_ONCE = 16 * 1024  # bytes: so much scratch memory may hold several pieces


@dataclass(frozen=True, eq=False)
class Weights:
    """What a kernel reads weights from: ``buffer`` holds all of them, or the one of ``pieces`` that it asked for last.

    Call `begin` where the function's body begins.
    """

    buffer: tirx.Buffer
    pieces: int
    bits: int
    packed: tirx.Buffer | None  # None: they lie in the library as they are

    @staticmethod
    def declare(f: Function, values: NDArray[np.int8], bits: int, dtype: str = "int8") -> Weights:
        """Int8 [pieces, size] as a constant of the function, which reads it as an array of ``dtype``.

        Where that takes little memory, all of them are unpacked at once.
        """
        if bits == 8:
            return Weights(f.constant(values.reshape(-1).view(dtype), dtype), 1, bits, None)
        if values.size <= UNPACKED_AT_ONCE:
            values = values.reshape(1, -1)
        pieces, size = values.shape
        packed = f.constant(pack(values, bits), "int8")
        buffer = f.unpacked(-(-size // GROUP) * GROUP // np.dtype(dtype).itemsize, dtype)
        return Weights(buffer, pieces, bits, packed)

    def begin(self) -> None:
        """Unpacks what is unpacked at once."""
        if self.pieces == 1 and self.packed is not None:
            self._unpack(self.packed, 0)

    def bring(self, piece: Index) -> Index:
        """Makes ``buffer`` hold piece number ``piece`` and answers where, counted in pieces."""
        if self.pieces == 1 or self.packed is None:
            return piece
        self._unpack(self.packed, piece)
        return 0

    def _unpack(self, packed: tirx.Buffer, piece: Index) -> None:
        groups = int(packed.shape[0]) // (self.pieces * self.bits * VECTOR)
        with T.serial(0, groups) as group:
            at = (piece * groups + group) * (self.bits * VECTOR)
            planes = [T.bind(load(packed, at + i * VECTOR, VECTOR)) for i in range(self.bits)]
            for vector in range(VECTORS):
                self._store(group * VECTORS + vector, _unpacked(planes, self.bits, vector))

    def _store(self, vector: Index, values: tirx.PrimExpr) -> None:
        lanes = VECTOR // np.dtype(self.buffer.dtype).itemsize
        whole = values if lanes == VECTOR else T.reinterpret(f"{self.buffer.dtype}x{lanes}", values)
        store(self.buffer, vector * lanes, whole, lanes)


def planes_of(bits: int) -> list[int]:
    """The bits of each plane, the highest first: 4, 2, 1 for 7."""
    return [plane for plane in (4, 2, 1) if bits & plane]


def pack(values: NDArray[np.int8], bits: int) -> NDArray[np.int8]:
    """[pieces, size], each within ``bits``, to [pieces, groups, bits, VECTOR]; zeros fill the last group."""
    pieces, size = values.shape
    vectors = np.pad(values, ((0, 0), (0, -size % GROUP))).view(np.uint8).reshape(pieces, -1, VECTORS, VECTOR)
    planes, below = [], bits
    for plane in planes_of(bits):
        below -= plane
        fields = (vectors >> below & (1 << plane) - 1).reshape(*vectors.shape[:2], plane, 8 // plane, VECTOR)
        shifts = np.arange(0, 8, plane, dtype=np.uint8)[:, np.newaxis]
        planes.append(np.bitwise_or.reduce(fields << shifts, axis=3))
    return np.ascontiguousarray(np.concatenate(planes, axis=2)).view(np.int8)


def _unpacked(planes: list[tirx.PrimExpr], bits: int, vector: int) -> tirx.PrimExpr:
    """Vector number ``vector`` of a group: its fields side by side from the highest bit down, then shifted as one."""
    parts: list[tuple[int, tirx.PrimExpr]] = []  # how many bits lie above, and the field in its place
    above = 0
    for plane in planes_of(bits):
        which, field = divmod(vector, 8 // plane)
        parts.append((above, _moved(planes[above + which], 8 - above - plane * (field + 1))))
        above += plane
    made = parts[0][1]
    for above, part in parts[1:]:  # beside a field is what is not its own; what is below goes with the last shift
        made = (made & _byte(-1 << (8 - above))) | (part & _byte((1 << (8 - above)) - 1))
    return tirx.shift_right(made, _byte(8 - bits))


def _moved(values: tirx.PrimExpr, by: int) -> tirx.PrimExpr:
    """Every byte shifted towards its highest bit; towards the lowest where ``by`` is negative."""
    if by < 0:
        unsigned = tirx.shift_right(T.reinterpret(f"uint8x{VECTOR}", values), splat(-by, "uint8", VECTOR))
        return T.reinterpret(f"int8x{VECTOR}", unsigned)
    return tirx.shift_left(values, _byte(by)) if by else values


def _byte(value: int) -> tirx.PrimExpr:
    return splat(value, "int8", VECTOR)
