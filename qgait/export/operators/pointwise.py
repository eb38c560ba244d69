"""Operators that make every code of codes in the same place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qgait.export.operators.operator import Op, Tensors, multiplier_shape, require
from qgait.export.operators.requant import Range, Requant
from qgait.export.operators.tensor import Shape
from qgait.fixedpoint import MAX_ADD_FACTOR


@dataclass(frozen=True, eq=False)
class Table(Op):
    """Any pointwise function of an 8-bit code: ``out = table[code + 128]``.

    table int8 [256], made from the simulated function in float64; nothing is accumulated. A LeakyReLU is one, a ReLU is
    the clip of the requantization in front.
    """

    table: NDArray[np.int8]

    @property
    def function(self) -> str:
        """The function's name for people: the last word of the layer's name."""
        return self.name.rsplit(".", 1)[-1].replace("_", " ")

    @property
    def words(self) -> str:
        """For example "table of leaky relu"."""
        return f"table of {self.function}"

    def output_shape(self, tensors: Tensors) -> Shape:
        """That of the input."""
        require(self.table, "table", np.int8, (256,))
        return tensors[self.inputs[0]].shape

    def offences(self, tensors: Tensors) -> Iterator[str]:
        """Every entry is a code of the result."""
        result = tensors[self.output]
        if not result.lo <= self.table.min() <= self.table.max() <= result.hi:
            yield f"{self.name} has entries outside {result.lo}..{result.hi}"


@dataclass(frozen=True, eq=False)
class Add(Op):
    """Residual sum of two tensors of one shape: ``acc = ka * (a - za) + kb * (b - zb)``, rounded once.

    ``factors`` are integers ka, kb <= 2**14 in the ratio of the two scales. requant [1]; parts that are added have one
    scale each, the same for every part.
    """

    factors: tuple[int, int]
    requant: Requant

    arity = 2

    @property
    def words(self) -> str:
        """For pictures."""
        return "sum of two branches"

    def output_shape(self, tensors: Tensors) -> Shape:
        """That of both inputs."""
        a, b = self.sources(tensors)
        if a.shape != b.shape:
            raise ValueError(f"adds {list(a.shape)} and {list(b.shape)}")
        return a.shape

    def accumulator(self, tensors: Tensors) -> Range:
        """Both operands at their ends."""
        a, b = self.sources(tensors)
        low, high = a.centred * self.factors[0] + b.centred * self.factors[1]
        return low.reshape(1), high.reshape(1)

    def offences(self, tensors: Tensors) -> Iterator[str]:
        """Factors, scales and the multiplier."""
        if not all(1 <= factor <= MAX_ADD_FACTOR for factor in self.factors):
            yield f"{self.name} has factors {self.factors} outside 1..{MAX_ADD_FACTOR}"
        for tensor in (*self.sources(tensors), tensors[self.output]):  # two factors, one multiplier serve all parts
            if np.unique(tensor.scale).size > 1:
                yield f"{self.name} adds parts, but the parts of {tensor.name} do not share one scale"
        yield from self.requant.offences(self.name, self.accumulator(tensors))


@dataclass(frozen=True, eq=False)
class Multiply(Op):
    """Product of two tensors: ``acc = (a - za) * (b - zb)``.

    b has a's shape, or is [1, C] parts that every pixel of a map [H, W, C] is multiplied by. requant [1] of a map,
    [P, 1] of parts.
    """

    requant: Requant

    arity = 2

    @property
    def words(self) -> str:
        """For pictures."""
        return "product with a gate"

    def output_shape(self, tensors: Tensors) -> Shape:
        """That of the first input."""
        shape, other = (source.shape for source in self.sources(tensors))
        if other != shape and (len(shape) != 3 or other != (1, shape[2])):
            raise ValueError(f"multiplies {list(shape)} by {list(other)}")
        return shape

    def accumulator(self, tensors: Tensors) -> Range:
        """The smallest and largest product of two ends."""
        a, b = self.sources(tensors)
        corners = np.multiply.outer(a.centred, b.centred)
        shape = multiplier_shape(a)
        return np.full(shape, corners.min()), np.full(shape, corners.max())

    def offences(self, tensors: Tensors) -> Iterator[str]:
        """The multipliers."""
        return self.requant.offences(self.name, self.accumulator(tensors))
