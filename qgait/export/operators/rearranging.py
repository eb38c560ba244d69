"""Operators that put codes elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from qgait.export.operators.operator import Op, Tensors
from qgait.export.operators.tensor import Shape


@dataclass(frozen=True, eq=False)
class Concat(Op):
    """Joins maps or parts on their first axis; codes are kept.

    Maps that are joined share one scale and zero point. Parts bring a scale each.
    """

    arity = None
    keeps_codes = True

    @property
    def words(self) -> str:
        """For pictures."""
        return "join of parts or rows"

    def output_shape(self, tensors: Tensors) -> Shape:
        """As many rows or parts as the inputs have together."""
        sources = self.sources(tensors)
        shape = sources[0].shape
        if any(source.shape[1:] != shape[1:] for source in sources):
            raise ValueError(f"joins {', '.join(str(list(source.shape)) for source in sources)}")
        return sum(source.shape[0] for source in sources), *shape[1:]


@dataclass(frozen=True, eq=False)
class RowSlice(Op):
    """Rows ``start`` to ``stop`` (not included) of a map: [H, W, C] -> [stop - start, W, C]; codes are kept."""

    start: int
    stop: int

    keeps_codes = True

    @property
    def words(self) -> str:
        """For example "rows 0 to 15"."""
        return f"rows {self.start} to {self.stop - 1}"

    def output_shape(self, tensors: Tensors) -> Shape:
        """Whole rows."""
        height, width, channels = tensors[self.inputs[0]].map_shape
        if not 0 <= self.start < self.stop <= height:
            raise ValueError(f"rows {self.start} to {self.stop} are not rows of {height}")
        return self.stop - self.start, width, channels
