"""Memory as the accelerator sees it: regions, its own SHRAM, and which bytes were written at all."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import DTypeLike, NDArray

from qgait.runtime.ethosu.interpreter.errors import broken

SHRAM = -1  # the number that the accelerator's own memory has here
Bytes = NDArray[np.uint8]
Shape = tuple[int, ...]


@dataclass
class Region:
    """``written`` is 1 where a byte holds something. Nothing writes to a region that is ``constant``."""

    data: Bytes
    written: Bytes
    constant: bool = False


@dataclass
class Memory:
    """Regions by number, and the copies that still run: of what they write nothing is known before they are done."""

    regions: dict[int, Region] = field(default_factory=dict)
    _running: list[tuple[Bytes, Bytes]] = field(default_factory=list)

    def add(self, number: int, size: int) -> None:
        """Empty working memory; a region that is named twice is as large as the larger name."""
        if number not in self.regions or self.regions[number].data.size < size:
            self.regions[number] = Region(np.zeros(size, np.uint8), np.zeros(size, np.uint8))

    def add_constant(self, number: int, content: bytes) -> None:
        """Memory that is only read."""
        data = np.frombuffer(content, np.uint8)
        self.regions[number] = Region(data, np.ones(data.size, np.uint8), constant=True)

    def forget(self, number: int, start: int = 0) -> None:
        """From ``start`` on, nothing is known of what a region holds."""
        self.regions[number].written[start:] = 0

    def read(self, number: int, start: int, shape: Shape, dtype: DTypeLike = np.uint8, strides: Shape = ()) -> NDArray:
        """The numbers that lie ``strides`` bytes apart. QgaitError where nothing was written, or a copy still runs."""
        values, written = self._views(number, start, shape, np.dtype(dtype), strides)
        if not written.all():
            where = f"{_named(number)} from byte {start} on"
            raise broken(f"reads {where}, where nothing was written or a copy still writes")
        return values.copy()

    def write(self, number: int, start: int, values: NDArray, strides: Shape = ()) -> None:
        """The reverse of ``read``."""
        if number in self.regions and self.regions[number].constant:
            raise broken(f"writes to {_named(number)}, which is constant")
        target, written = self._views(number, start, values.shape, values.dtype, strides)
        target[...] = values
        written[...] = 1

    def start_copy(self, source: tuple[int, int], target: tuple[int, int], length: int) -> None:
        """DMA of ``length`` bytes from (region, byte) to (region, byte); what was never written stays so."""
        values, known = self._views(*source, (length,), np.dtype(np.uint8), ())
        known = known[..., 0].copy()
        self.write(*target, values.copy())
        written = self._views(*target, (length,), np.dtype(np.uint8), ())[1][..., 0]
        written[...] = 0
        self._running.append((written, known))

    def finish_copies(self, running: int = 0) -> None:
        """Waits until at most ``running`` copies are left; they end in the order in which they started."""
        while len(self._running) > running:
            written, known = self._running.pop(0)
            written[...] = known

    def _views(
        self, number: int, start: int, shape: Shape, dtype: np.dtype, strides: Shape
    ) -> tuple[NDArray, NDArray[np.uint8]]:
        """The numbers, and whether each of their bytes was written: one axis more, for the bytes of a number."""
        region = self.regions.get(number)
        if region is None:
            raise broken(f"uses {_named(number)}, which the model does not have")
        each = dtype.itemsize
        apart = strides or (*(each * int(np.prod(shape[i + 1 :])) for i in range(len(shape))),)
        end = start + sum((n - 1) * step for n, step in zip(shape, apart, strict=True)) + each
        if min(shape, default=1) < 1 or end > region.data.size:
            raise broken(f"reaches byte {end} of {_named(number)}, which has {region.data.size}")
        values: NDArray = np.ndarray(shape, dtype, region.data, start, apart)
        written: NDArray[np.uint8] = np.ndarray((*shape, each), np.uint8, region.written, start, (*apart, 1))
        return values, written


def _named(number: int) -> str:
    return "SHRAM" if number == SHRAM else f"region {number}"
