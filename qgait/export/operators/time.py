"""Operators that look along the values of a series."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qgait.export.operators.operator import Op, Tensors, multiplier_shape
from qgait.export.operators.requant import Range, Requant
from qgait.export.operators.tensor import Shape


@dataclass(frozen=True, eq=False)
class FrameMax(Op):
    """Set pooling: the maximum of a per-frame map or parts over all frames of a clip; codes are kept.

    A maximum commutes with every function that does not decrease, and with waiting: frames can be pushed one at a time.
    """

    keeps_codes = True
    ends_frames = True

    @property
    def words(self) -> str:
        """For pictures."""
        return "running max over the frames"


@dataclass(frozen=True, eq=False)
class _Window(Op):
    """Value j looks at ``size`` values from ``j * stride - padding`` on."""

    size: int
    stride: int
    padding: int

    keeps_codes = True

    @property
    def window(self) -> tuple[int, int, int]:
        """As given."""
        return self.size, self.stride, self.padding

    @property
    def _steps(self) -> str:
        return "" if self.stride == 1 else f", stride {self.stride}"

    def output_shape(self, tensors: Tensors) -> Shape:
        """That of the input."""
        size, stride, padding = self.window
        if size < 1 or stride < 1 or not 0 <= padding < size:  # every window holds at least one value of the clip
            raise ValueError(f"a window of {size}, stride {stride} and padding {padding} is out of range")
        return tensors[self.inputs[0]].shape


@dataclass(frozen=True, eq=False)
class FrameWindow(_Window):
    """Neighbouring values side by side: [H, W, C] -> [H, W, size * C], [P, C] -> [P, size * C]; codes are kept.

    The oldest comes first: channel ``i * C + c`` is channel c of value ``j * stride - padding + i``. Missing values
    are the zero point. A convolution over time is a FrameWindow and a convolution (or linear layer) behind it.
    """

    @property
    def words(self) -> str:
        """For example "3 neighbours in time side by side"."""
        return f"{self.size} neighbours in time side by side{self._steps}"

    def output_shape(self, tensors: Tensors) -> Shape:
        """``size`` times the channels."""
        shape = super().output_shape(tensors)
        return *shape[:-1], self.size * shape[-1]


@dataclass(frozen=True, eq=False)
class WindowMax(_Window):
    """The maximum of neighbouring values, code by code; codes are kept.

    A window has ``size``, ``stride`` and ``padding``; missing values do not count.
    """

    @property
    def words(self) -> str:
        """For example "max of 3 neighbours in time, stride 3"."""
        return f"max of {self.size} neighbours in time{self._steps}"


@dataclass(frozen=True, eq=False)
class WindowPool(Op):
    """Mean + maximum of neighbouring values: ``acc = sum(code - zero_point_in) + size * (max(code) - zero_point_in)``.

    Of ``size`` values, an odd number, stride 1, padding (size - 1) / 2; the shape is kept. Missing values add nothing
    to the sum and do not count in the maximum; 1/size is in the multiplier: exact. requant [1] of a map, [P, 1] of
    parts.
    """

    size: int
    requant: Requant

    @property
    def window(self) -> tuple[int, int, int]:
        """A middle value, and as many before it as behind."""
        return self.size, 1, (self.size - 1) // 2

    @property
    def words(self) -> str:
        """For example "mean + max of 3 neighbours in time"."""
        return f"mean + max of {self.size} neighbours in time"

    def output_shape(self, tensors: Tensors) -> Shape:
        """That of the input."""
        if self.size < 1 or self.size % 2 == 0:
            raise ValueError(f"pools {self.size} values, which have no middle one")
        return tensors[self.inputs[0]].shape

    def accumulator(self, tensors: Tensors) -> Range:
        """All values at one end."""
        source = tensors[self.inputs[0]]
        low, high = source.centred
        weight = np.full(multiplier_shape(source), 2 * self.size, np.int64)
        return weight * low, weight * high

    def offences(self, tensors: Tensors) -> Iterator[str]:
        """The multipliers."""
        return self.requant.offences(self.name, self.accumulator(tensors))
