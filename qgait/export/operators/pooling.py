"""Operators that make one code of many pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qgait.export.operators.operator import Op, Tensors, require
from qgait.export.operators.requant import Range, Requant
from qgait.export.operators.tensor import Shape

STRIP_KINDS = ("mean_max", "mean")
FLOAT64 = 2**53  # ONNX Runtime sums int64 in float64


@dataclass(frozen=True, eq=False)
class MaxPool2d(Op):
    """Max pooling: [H, W, C] -> [H // k, W // k, C], the maximum of k x k windows, stride k, no padding.

    Codes are kept: a maximum commutes with every function that does not decrease.
    """

    kernel: int

    keeps_codes = True

    @property
    def words(self) -> str:
        """For example "2×2 max pool"."""
        return f"{self.kernel}×{self.kernel} max pool"

    def output_shape(self, tensors: Tensors) -> Shape:
        """Rows and columns that fill no window are left out."""
        height, width, channels = tensors[self.inputs[0]].map_shape
        if not 1 <= self.kernel <= min(height, width):
            raise ValueError(f"a pool of {self.kernel} does not fit into {height} x {width}")
        return height // self.kernel, width // self.kernel, channels


@dataclass(frozen=True, eq=False)
class StripPool(Op):
    """Horizontal pyramid pooling: [H, W, C] -> [P, C], ``acc = sum(code) + n * max(code) - 2 * n * zero_point_in``.

    P = sum(bins): for every b in ``bins`` the rows are split into b equal strips of n = H * W / b codes. That is
    ``kind`` mean_max; mean is ``acc = sum(code) - n * zero_point_in``. 1/n is in the multiplier: exact. requant [P, 1].
    """

    bins: tuple[int, ...]
    requant: Requant
    kind: str = "mean_max"

    @property
    def words(self) -> str:
        """For example "4 + 2 + 1 strips, mean + max"."""
        kind = "mean + max" if self.kind == "mean_max" else self.kind
        return f"{' + '.join(map(str, self.bins))} {'strip' if self.bins == (1,) else 'strips'}, {kind}"

    def output_shape(self, tensors: Tensors) -> Shape:
        """A part for each strip."""
        height, _, channels = tensors[self.inputs[0]].map_shape
        if not self.bins or any(bins < 1 or height % bins for bins in self.bins):
            raise ValueError(f"{height} rows do not split into {list(self.bins)} equal strips")
        if self.kind not in STRIP_KINDS:
            raise ValueError(f"pools {self.kind!r}, not one of {', '.join(STRIP_KINDS)}")
        return sum(self.bins), channels

    def accumulator(self, tensors: Tensors) -> Range:
        """All codes of a strip at one end."""
        source = tensors[self.inputs[0]]
        height, width, _ = source.map_shape
        count = np.repeat([height * width // bins for bins in self.bins], self.bins)[:, np.newaxis].astype(np.int64)
        weight = count if self.kind == "mean" else 2 * count
        low, high = source.centred
        return weight * low, weight * high

    def offences(self, tensors: Tensors) -> Iterator[str]:
        """The multipliers."""
        return self.requant.offences(self.name, self.accumulator(tensors))


@dataclass(frozen=True, eq=False)
class PowerPool(Op):
    """Generalized mean over regions of whole rows: [H, W, C] -> [R, C], ``acc = sum(powers[r][code + 128])``.

    ``rows`` are the regions' heights, sum H. The sum is over the pixels of region r, in int64 and below 2**53; the
    result is ``lo + (how many of thresholds[r] are <= acc)``. powers int64 [R, 256], not negative; thresholds int64
    [R, hi - lo], not negative, ascending. The tables hold x ** p and the root; no requantization.
    """

    rows: tuple[int, ...]
    powers: NDArray[np.int64]
    thresholds: NDArray[np.int64]

    @property
    def words(self) -> str:
        """For example "generalized mean of each row"."""
        regions = "each row" if set(self.rows) == {1} else f"regions of {' + '.join(map(str, self.rows))} rows"
        return f"generalized mean of {regions}"

    def output_shape(self, tensors: Tensors) -> Shape:
        """A part for each region."""
        height, _, channels = tensors[self.inputs[0]].map_shape
        if not self.rows or min(self.rows) < 1 or sum(self.rows) != height:
            raise ValueError(f"regions of {list(self.rows)} rows do not make {height} rows")
        regions = len(self.rows)
        require(self.powers, "powers", np.int64, (regions, 256))
        steps = self.thresholds.shape[-1] if self.thresholds.ndim else 0
        require(self.thresholds, "thresholds", np.int64, (regions, steps))
        return regions, channels

    def accumulator(self, tensors: Tensors) -> Range:
        """[R, 1] each, of Python's integers: they may be beyond int64."""
        source = tensors[self.inputs[0]]
        count = np.array(self.rows, object)[:, np.newaxis] * source.map_shape[1]
        reached = self.powers[:, source.lo + 128 : source.hi + 129]
        return count * reached.min(axis=1, keepdims=True), count * reached.max(axis=1, keepdims=True)

    def offences(self, tensors: Tensors) -> Iterator[str]:
        """The tables, and the largest sum."""
        result = tensors[self.output]
        if self.thresholds.shape[1] != result.hi - result.lo:
            yield (
                f"{self.name} has {self.thresholds.shape[1]} thresholds, "
                f"but {result.name} has the codes {result.lo}..{result.hi}"
            )
        if self.powers.min() < 0:
            yield f"{self.name} has a negative power"
        if self.thresholds.size and (self.thresholds.min() < 0 or np.any(np.diff(self.thresholds, axis=1) < 0)):
            yield f"{self.name} has thresholds that are negative or do not ascend"
        _, largest = self.accumulator(tensors)
        if largest.max() >= FLOAT64:
            worst = int(largest.argmax())
            yield f"{self.name} can reach a sum of {largest.max()} in region {worst}, the limit is {FLOAT64}"
