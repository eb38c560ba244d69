"""Adds TOSA operators one behind the other: names, constants, and the few forms that qgait's operators are made of.

Every method that adds an operator returns the name of what it makes. The leading axis of all tensors is values of a
series.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qgait.export.operators import Requant, Tensor
from qgait.export.tosa.flatbuffer import Attributes, Block, Operator, Value

Shape = tuple[int, ...]
MOST_INPUTS = 64  # of one CONCAT at the specification's level 8K
PROPAGATE, SINGLE_ROUND, INT32 = 1, 1, 5  # the schema's NanPropagationMode, RoundingMode and DType
UNCHANGED = Requant(np.array([2**30], np.int32), np.array([30], np.int8))  # keeps an accumulator as it is


class TosaBuilder:
    """A block under construction; ``layer`` is what names of inner tensors begin with."""

    def __init__(self) -> None:
        self.block = Block()
        self.layer = ""
        self._inner = 0
        self._named: set[str] = set()
        self._constants: dict[tuple[str, Shape, bytes], str] = {}

    def input(self, name: str, shape: Shape) -> str:
        """An int8 input of the graph."""
        self.block.values[name] = Value(name, shape, "int8")
        self.block.inputs.append(name)
        self._named.add(name)
        return name

    def shape(self, name: str) -> Shape:
        """The shape of a tensor."""
        return self.block.values[name].shape

    def constant(self, array: NDArray[np.integer]) -> str:
        """A constant of int8 or int32; int64 stands for a shape."""
        key = (str(array.dtype), array.shape, array.tobytes())
        if key in self._constants:
            return self._constants[key]
        name = self._constants[key] = self._next("constant")
        self.block.values[name] = Value(name, array.shape, str(array.dtype), array)
        kind = "CONST_SHAPE" if array.dtype == np.int64 else "CONST"
        self.block.operators.append(Operator(kind, [], name))
        return name

    def scalar(self, number: int, dtype: str = "int8") -> str:
        """A constant [1], such as a zero point."""
        return self.constant(np.array([number], dtype))

    def add(
        self, kind: str, inputs: Sequence[str], shape: Shape, dtype: str = "int8", attributes: Attributes | None = None
    ) -> str:
        """One operator of the specification; see ``Operator``."""
        name = self._next(f"{self.layer}/{kind.lower()}")
        self.block.values[name] = Value(name, shape, dtype)
        self.block.operators.append(Operator(kind, list(inputs), name, attributes or {}))
        return name

    def name(self, made: str, name: str) -> None:
        """Calls the result of the last operator ``name``; what has such a name already is copied."""
        if made in self._named:
            made = self.add("IDENTITY", [made], self.shape(made))
        assert self.block.operators[-1].output == made
        value = self.block.values.pop(made)
        self.block.operators[-1].output = value.name = name
        self.block.values[name] = value
        self._named.add(name)

    def reshape(self, x: str, shape: Shape) -> str:
        """The same numbers in another shape."""
        if self.shape(x) == shape:
            return x
        return self.add("RESHAPE", [x, self.constant(np.array(shape, np.int64))], shape, self._dtype(x))

    def slice(self, x: str, axis: int, start: int, size: int) -> str:
        """``size`` neighbours along one axis."""
        first, shape = [0] * len(self.shape(x)), list(self.shape(x))
        first[axis], shape[axis] = start, size
        return self._part(x, first, tuple(shape))

    def corner(self, x: str, shape: Shape) -> str:
        """What lies within ``shape`` from the start of every axis."""
        return self._part(x, [0] * len(shape), shape)

    def _part(self, x: str, first: list[int], shape: Shape) -> str:
        if shape == self.shape(x):
            return x
        bounds = [self.constant(np.array(numbers, np.int64)) for numbers in (first, shape)]
        return self.add("SLICE", [x, *bounds], shape, self._dtype(x))

    def exchanged(self, x: str) -> str:
        """Rows and columns of a map exchanged."""
        n, height, width, channels = self.shape(x)
        return self.add("TRANSPOSE", [x], (n, width, height, channels), self._dtype(x), {"Perms": [0, 2, 1, 3]})

    def concat(self, parts: Sequence[str], axis: int) -> str:
        """Joins tensors along one axis, at most 64 at a time."""
        while len(parts) > 1:
            parts = [self._concat(parts[i : i + MOST_INPUTS], axis) for i in range(0, len(parts), MOST_INPUTS)]
        return parts[0]

    def _concat(self, parts: Sequence[str], axis: int) -> str:
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(part)[axis] for part in parts)
        return self.add("CONCAT", parts, tuple(shape), self._dtype(parts[0]), {"Axis": axis})

    def pad_values(self, x: str, before: int, after: int, missing: int) -> str:
        """More values before and behind a series, all ``missing``."""
        if not before and not after:
            return x
        shape = self.shape(x)
        amounts = np.array([before, after, *(0 for _ in range(2 * len(shape) - 2))], np.int64)
        inputs = [x, self.constant(amounts), self.scalar(missing)]
        return self.add("PAD", inputs, (shape[0] + before + after, *shape[1:]))

    def reduce(self, kind: str, x: str, axis: int) -> str:
        """REDUCE_MAX of int8 or REDUCE_SUM of int32; the axis stays, with one element."""
        shape = list(self.shape(x))
        shape[axis] = 1
        attributes: Attributes = {"Axis": axis}
        if kind == "REDUCE_MAX":
            attributes["NanMode"] = PROPAGATE
        return self.add(kind, [x], tuple(shape), self._dtype(x), attributes)

    def widened(self, x: str, zero_point: int, factor: int = 1) -> str:
        """``factor * (code - zero_point)`` as int32, exactly; ``factor`` is less than 2**20."""
        m, s = np.array([factor << 11], np.int32), np.array([11], np.int8)
        return self._rescale(x, m, s, zero_point, 0, "int32")

    def requantized(self, acc: str, requant: Requant, result: Tensor) -> str:
        """The integer rule for int32 ``acc``: one multiplier, or one for each index of the last axis."""
        m, s = requant.multiplier.ravel(), requant.shift.ravel()
        codes = self._rescale(acc, m, s, 0, result.zero_point, "int8")
        if (result.lo, result.hi) == (-128, 127):
            return codes
        limits: Attributes = {"MinVal": _byte(result.lo), "MaxVal": _byte(result.hi), "NanMode": PROPAGATE}
        return self.add("CLAMP", [codes], self.shape(codes), "int8", limits)

    def _rescale(
        self, x: str, m: NDArray[np.int32], s: NDArray[np.int8], zero_in: int, zero_out: int, dtype: str
    ) -> str:
        numbers = [self.constant(m), self.constant(s)]
        zeros = [self.scalar(zero_in, self._dtype(x)), self.scalar(zero_out, dtype)]
        rule: Attributes = {"Scale32": True, "RoundingMode": SINGLE_ROUND, "PerChannel": len(m) > 1}
        return self.add("RESCALE", [x, *numbers, *zeros], self.shape(x), dtype, rule)

    def _next(self, prefix: str) -> str:
        self._inner += 1
        return f"{prefix}#{self._inner}"

    def _dtype(self, name: str) -> str:
        return self.block.values[name].dtype


def _byte(code: int) -> bytes:
    return np.int8(code).tobytes()


def of_one_multiplier(requant: Requant) -> Iterator[tuple[int, int, Requant]]:
    """Runs [start, stop) of parts that are requantized alike, and how."""
    m, s = np.broadcast_arrays(requant.multiplier.ravel(), requant.shift.ravel())
    starts = [0, *(np.flatnonzero((np.diff(m) != 0) | (np.diff(s) != 0)) + 1), len(m)]
    for start, stop in itertools.pairwise(starts):
        yield int(start), int(stop), Requant(m[start : start + 1], s[start : start + 1])
