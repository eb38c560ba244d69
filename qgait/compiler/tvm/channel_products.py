"""What a convolution channel by channel asks of an instruction set: channels in lanes, no sum crosses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, load, store, widen
from qgait.compiler.tvm.requantize import codes_of
from qgait.compiler.tvm.rescaling import ShortRescaling
from qgait.export.operators import Tensor

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr

Tap: TypeAlias = "tuple[int, int]"  # row and column within a field
Narrowed: TypeAlias = "Callable[[Sequence[PrimExpr], Tensor, int], PrimExpr]"


class ChannelProducts(Protocol):
    """A register tile is ``pixels`` x ``lanes`` sums; padded input rows are kept as ``dtype``.

    The sums of a pixel lie in ``order``: place i is that of lane ``order[i]``. ``rescaling`` is the integer rule in 32
    bits; None where that of the instruction set is as quick.
    """

    @property
    def lanes(self) -> int: ...

    @property
    def pixels(self) -> int: ...

    @property
    def dtype(self) -> str: ...

    @property
    def order(self) -> Sequence[int]: ...

    @property
    def rescaling(self) -> ShortRescaling | None: ...

    def fitted(self, channels: int, taps: int) -> ChannelProducts:
        """With the tile that is best for a layer of ``channels`` and fields of ``taps``."""

    def steps(self, height: int, width: int) -> list[list[Tap]]:
        """Every tap of a field once, those together that are multiplied together."""

    def packed(self, weights: NDArray[np.int8]) -> NDArray[np.signedinteger]:
        """[blocks, taps of a step, lanes] -> [blocks, ...], as `add` reads them."""

    def arranged(self, codes: Sequence[PrimExpr]) -> Sequence[PrimExpr]:
        """Registers for `add`, from ``lanes`` codes of every tap of a step."""

    def add(self, sums: Buffer, at: int, codes: Sequence[PrimExpr], weights: Buffer, start: Index) -> None:
        """Adds the products of a step to the sums from ``sums[at]`` on; its packed weights begin at ``start``."""

    def codes(self, values: Sequence[PrimExpr], result: Tensor) -> PrimExpr:
        """``lanes`` int8 codes from vectors of rescaled sums in ``order``."""


def pairs_of_taps(height: int, width: int) -> list[list[Tap]]:
    """`ChannelProducts.steps` row by row, for products that add up in 16 bits: 2 * 128 * 127 is less than 2**15."""
    taps = [(i, j) for i in range(height) for j in range(width)]
    return [taps[k : k + 2] for k in range(0, len(taps), 2)]


def products(codes: Sequence[PrimExpr], weights: Buffer, start: Index, lanes: int) -> PrimExpr:
    """The sum of the products of a step, int16 like its ``codes``."""
    total = None
    for k, code in enumerate(codes):
        product = code * widen(load(weights, start + k * lanes, lanes), "int16", lanes)
        total = product if total is None else total + product
    return total


def narrowed(values: Sequence[PrimExpr], result: Tensor, lanes: int) -> PrimExpr:
    """``lanes`` int8 codes from vectors of rescaled sums."""
    parts = [codes_of(value, result, lanes // len(values)) for value in values]
    return parts[0] if len(parts) == 1 else tirx.Shuffle(parts, list(range(lanes)))


@dataclass(frozen=True)
class ShortProducts:
    """``ChannelProducts`` for LLVM: two at a time, in 16 bits, whose sum is widened.

    On ARM that is SMULL, SMLAL and SADDW. ``lanes`` are those of a layer with many channels.
    """

    lanes: int = 8
    pixels: int = 4
    rescaling: ShortRescaling | None = None
    narrowed: Narrowed = narrowed
    dtype: ClassVar[str] = "int8"

    def fitted(self, channels: int, taps: int) -> ShortProducts:
        """Half as many lanes where the last of a few whole vectors would mostly be computed twice."""
        whole = channels % self.lanes == 0 or channels > 4 * self.lanes
        return self if whole or self.lanes <= 8 else replace(self, lanes=self.lanes // 2)

    @property
    def order(self) -> Sequence[int]:
        return range(self.lanes)

    def steps(self, height: int, width: int) -> list[list[Tap]]:
        return pairs_of_taps(height, width)

    def packed(self, weights: NDArray[np.int8]) -> NDArray[np.int8]:
        return weights

    def arranged(self, codes: Sequence[PrimExpr]) -> Sequence[PrimExpr]:
        return [T.bind(widen(code, "int16", self.lanes)) for code in codes]

    def add(self, sums: Buffer, at: int, codes: Sequence[PrimExpr], weights: Buffer, start: Index) -> None:
        total = products(codes, weights, start, self.lanes)
        store(sums, at, load(sums, at, self.lanes) + widen(total, "int32", self.lanes), self.lanes)

    def codes(self, values: Sequence[PrimExpr], result: Tensor) -> PrimExpr:
        return self.narrowed(values, result, self.lanes)
