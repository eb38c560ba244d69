"""Weights of 2 to 7 bits: packed in the library, and unpacked into scratch memory just before a kernel reads them.

What a kernel reads together is a *piece*, such as the weights of one tile of channels. A piece is cut into groups of
128 weights: 8 vectors of 16, which lie in as many vectors as a weight has bits. Byte j of a stored vector holds byte j
of others, as many whole ones as fit, from the lowest bit up: weights of 3 bits two by two. What is left at the top of
all stored vectors, one after the other and from the highest bit down, are the vectors that did not fit. So shifts of
whole vectors bring everything back in order, and no lane is moved to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Function, Index, load, splat, store

VECTOR = 16  # weights in a vector
VECTORS = 8  # of a group
GROUP = VECTOR * VECTORS
UNPACKED_AT_ONCE = 16 * 1024  # bytes: so much scratch memory may hold several pieces


class Field(NamedTuple):
    """``width`` bits of a stored vector from bit ``low`` on."""

    stored: int
    low: int
    width: int


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
            stored = [T.bind(load(packed, at + i * VECTOR, VECTOR)) for i in range(self.bits)]
            for vector in range(VECTORS):
                self._store(group * VECTORS + vector, _unpacked(stored, self.bits, vector))

    def _store(self, vector: Index, values: tirx.PrimExpr) -> None:
        lanes = VECTOR // np.dtype(self.buffer.dtype).itemsize
        whole = values if lanes == VECTOR else T.reinterpret(f"{self.buffer.dtype}x{lanes}", values)
        store(self.buffer, vector * lanes, whole, lanes)


@cache
def fields_of(bits: int) -> list[list[Field]]:
    """Where each vector of a group lies, from its highest bit down."""
    together = 8 // bits
    whole = [[Field(vector // together, vector % together * bits, bits)] for vector in range(together * bits)]
    left = [(stored, bit) for stored in range(bits) for bit in range(7, together * bits - 1, -1)]
    rest = [left[i : i + bits] for i in range(0, len(left), bits)]
    return whole + [
        [Field(stored, min(places), len(places)) for stored, places in _by_vector(vector)] for vector in rest
    ]


def _by_vector(places: list[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    return [(stored, [bit for _, bit in of]) for stored, of in groupby(places, lambda place: place[0])]


def pack(values: NDArray[np.int8], bits: int) -> NDArray[np.int8]:
    """[pieces, size], each within ``bits``, to [pieces, groups, bits, VECTOR]; zeros fill the last group."""
    pieces, size = values.shape
    vectors = np.pad(values, ((0, 0), (0, -size % GROUP))).view(np.uint8).reshape(pieces, -1, VECTORS, VECTOR)
    packed = np.zeros((*vectors.shape[:2], bits, VECTOR), np.uint8)
    for vector, fields in enumerate(fields_of(bits)):
        below = bits
        for field in fields:
            below -= field.width
            taken = vectors[:, :, vector] >> below & (1 << field.width) - 1
            packed[:, :, field.stored] |= (taken << field.low).astype(np.uint8)
    return packed.view(np.int8)


def _unpacked(stored: list[tirx.PrimExpr], bits: int, vector: int) -> tirx.PrimExpr:
    """Vector number ``vector`` of a group: its fields side by side from the highest bit down, then shifted as one."""
    first, *others = fields_of(bits)[vector]
    made, above = _moved(stored[first.stored], 8 - first.width - first.low), first.width
    for field in others:  # beside a field is what is not its own; what is below goes with the last shift
        part = _moved(stored[field.stored], 8 - above - field.width - field.low)
        made = (made & _byte(-1 << (8 - above))) | (part & _byte((1 << (8 - above)) - 1))
        above += field.width
    return tirx.shift_right(made, _byte(8 - bits))


def _moved(values: tirx.PrimExpr, by: int) -> tirx.PrimExpr:
    """Every byte shifted towards its highest bit; towards the lowest where ``by`` is negative."""
    if by < 0:
        unsigned = tirx.shift_right(T.reinterpret(f"uint8x{VECTOR}", values), splat(-by, "uint8", VECTOR))
        return T.reinterpret(f"int8x{VECTOR}", unsigned)
    return tirx.shift_left(values, _byte(by)) if by else values


def _byte(value: int) -> tirx.PrimExpr:
    return splat(value, "int8", VECTOR)
