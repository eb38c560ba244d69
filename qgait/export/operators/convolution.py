"""Operators with weights: sums of products, requantized per output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qgait.export.operators.operator import Op, Tensors, require
from qgait.export.operators.requant import Range, Requant
from qgait.export.operators.tensor import Shape

INT32 = 2**31


@dataclass(frozen=True, eq=False)
class Weighted(Op):
    """What operators with weights have in common: ``acc = bias + sum(weight * code)``.

    weight int8, never -128. bias int32 already holds ``-zero_point_in * sum(weight)``.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]

    summed: ClassVar[tuple[int, ...]]  # the axes of ``weight`` that the products of one output run over

    @property
    def parameters(self) -> int:
        """How many int8 weights there are."""
        return self.weight.size

    @property
    def weight_bits(self) -> int:
        """The fewest bits, 2 to 8, in which every weight is a number in two's complement. No file has to say it."""
        return max(2, 1 + max(int(self.weight.max()), ~int(self.weight.min())).bit_length())

    @property
    def weight_bytes(self) -> int:
        """``weight_bits`` for each of them."""
        return -(-self.parameters * self.weight_bits // 8)

    @classmethod
    def total(cls, weight: NDArray[np.integer]) -> NDArray[np.int64]:
        """The sum of an array of weights over the products of each output, in the shape of ``bias``."""
        return weight.sum(axis=cls.summed, dtype=np.int64)

    @property
    def weight_magnitude(self) -> NDArray[np.int64]:
        """sum(|weight|) of each output."""
        return self.total(np.abs(self.weight.astype(np.int64)))

    def accumulator(self, tensors: Tensors) -> Range:
        """A padded code is the zero point, which lies between lo and hi."""
        source = tensors[self.inputs[0]]
        positive, negative = self.total(np.maximum(self.weight, 0)), self.total(np.minimum(self.weight, 0))
        return (
            self.bias + positive * source.lo + negative * source.hi,
            self.bias + positive * source.hi + negative * source.lo,
        )

    def offences(self, tensors: Tensors) -> Iterator[str]:
        """Weights, and sums of raw codes, as runtimes may accumulate them on their way."""
        if self.weight.min() < -127:
            yield f"{self.name} has a weight of -128"
        if (128 * self.weight_magnitude + np.abs(self.bias.astype(np.int64))).max() >= INT32:
            yield f"{self.name} can leave int32 while it accumulates raw codes"


@dataclass(frozen=True, eq=False)
class Convolution(Weighted):
    """What convolutions of a map have in common.

    ``padding`` is (top, left, bottom, right) and is filled with the input's zero point. requant has one number a
    channel of the result.
    """

    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    requant: Requant

    @property
    def kernel(self) -> tuple[int, int]:
        """(rows, columns) of a window."""
        raise NotImplementedError

    def windows(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the result, for a map of this size. Raises ValueError when there is none."""
        if min(self.stride) < 1 or min(self.padding) < 0:
            raise ValueError(f"stride {self.stride} or padding {self.padding} is out of range")
        (kh, kw), (top, left, bottom, right) = self.kernel, self.padding
        if min(kh, kw) < 1:
            raise ValueError(f"a {kh} x {kw} kernel has no weights")
        rows, columns = height + top + bottom - kh, width + left + right - kw
        if rows < 0 or columns < 0:
            raise ValueError(f"a {kh} x {kw} kernel does not fit into {height} x {width}")
        return rows // self.stride[0] + 1, columns // self.stride[1] + 1

    def macs(self, tensors: Tensors) -> int:
        """One product a weight and pixel of the result."""
        height, width, _ = tensors[self.output].shape
        return height * width * self.weight.size

    def offences(self, tensors: Tensors) -> Iterator[str]:
        """Weights, sums and multipliers."""
        yield from super().offences(tensors)
        yield from self.requant.offences(self.name, self.accumulator(tensors))


@dataclass(frozen=True, eq=False)
class Conv2d(Convolution):
    """Convolution: [H, W, I] -> [H', W', O], ``acc = bias + sum(weight * code)``, requantized per output channel.

    weight int8 [O, KH, KW, I], never -128. bias int32 [O] already holds ``-zero_point_in * sum(weight)``.
    ``padding`` is (top, left, bottom, right) and is filled with the input's zero point. requant [O].
    """

    summed = (1, 2, 3)

    @property
    def kernel(self) -> tuple[int, int]:
        """Of ``weight``."""
        return self.weight.shape[1], self.weight.shape[2]

    @property
    def words(self) -> str:
        """For example "3×3 convolution, 8 → 16, stride 2"."""
        outputs, kh, kw, inputs = self.weight.shape
        stride = "" if self.stride == (1, 1) else f", stride {self.stride[0]}"
        return f"{kh}×{kw} convolution, {inputs} → {outputs}{stride}"

    def output_shape(self, tensors: Tensors) -> Shape:
        """Windows end at the last row and column that a whole kernel fits before."""
        height, width, channels = tensors[self.inputs[0]].map_shape
        if self.weight.ndim != 4:
            raise ValueError(f"weights are {list(self.weight.shape)}, not [O, KH, KW, I]")
        outputs = len(self.weight)
        require(self.weight, "weights", np.int8, (outputs, *self.kernel, channels))
        require(self.bias, "biases", np.int32, (outputs,))
        return *self.windows(height, width), outputs


@dataclass(frozen=True, eq=False)
class DepthwiseConv2d(Convolution):
    """Convolution channel by channel: [H, W, C] -> [H', W', C], ``acc = bias + sum(weight * code)`` over a window.

    weight int8 [KH, KW, C], never -128. bias int32 [C] already holds ``-zero_point_in * sum(weight)``. ``padding`` is
    (top, left, bottom, right) and is filled with the input's zero point. requant [C].
    """

    summed = (0, 1)

    @property
    def kernel(self) -> tuple[int, int]:
        """Of ``weight``."""
        return self.weight.shape[0], self.weight.shape[1]

    @property
    def words(self) -> str:
        """For example "3×3 convolution of each of 16 channels, stride 2"."""
        kh, kw, channels = self.weight.shape
        stride = "" if self.stride == (1, 1) else f", stride {self.stride[0]}"
        return f"{kh}×{kw} convolution of each of {channels} channels{stride}"

    def output_shape(self, tensors: Tensors) -> Shape:
        """As many channels as there are."""
        height, width, channels = tensors[self.inputs[0]].map_shape
        if self.weight.ndim != 3:
            raise ValueError(f"weights are {list(self.weight.shape)}, not [KH, KW, C]")
        require(self.weight, "weights", np.int8, (*self.kernel, channels))
        require(self.bias, "biases", np.int32, (channels,))
        return *self.windows(height, width), channels


@dataclass(frozen=True, eq=False)
class PartLinear(Weighted):
    """One matrix a part: [P, I] -> [P, O], ``acc = bias + code @ weight``.

    weight int8 [P, I, O], never -128. bias int32 [P, O] already holds ``-zero_point_in * sum(weight)``. requant [P, O].
    """

    requant: Requant

    summed = (1,)

    @property
    def words(self) -> str:
        """For example "62 matrices, 128 → 256"."""
        parts, inputs, outputs = self.weight.shape
        return f"{parts} {'matrix' if parts == 1 else 'matrices'}, {inputs} → {outputs}"

    def output_shape(self, tensors: Tensors) -> Shape:
        """As many parts as there are."""
        shape = tensors[self.inputs[0]].shape
        if len(shape) != 2 or self.weight.ndim != 3:
            found = f"input {list(shape)} and weights {list(self.weight.shape)}"
            raise ValueError(f"{found} are not [P, I] and [P, I, O]")
        outputs = self.weight.shape[2]
        require(self.weight, "weights", np.int8, (*shape, outputs))
        require(self.bias, "biases", np.int32, (shape[0], outputs))
        return shape[0], outputs

    def macs(self, tensors: Tensors) -> int:
        """One product a weight."""
        return self.weight.size

    def offences(self, tensors: Tensors) -> Iterator[str]:
        """Weights, sums and multipliers."""
        yield from super().offences(tensors)
        yield from self.requant.offences(self.name, self.accumulator(tensors))
