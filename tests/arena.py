"""The C calls of a library, loaded into this process, on memory that shows what they touch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qgait.runtime.bundle import Bundle
from qgait.runtime.library import load

OK, NO_FRAME, BAD_ARENA, NULL = range(4)
GUARD = 0x5A


class Arena:
    """An arena that begins ``offset`` bytes behind a multiple of 64, full of ``rubbish``, between guard bytes."""

    def __init__(self, made: Bundle, offset: int = 0, rubbish: int = GUARD) -> None:
        self.made = made
        self.library = load(made)
        self.size = self.library.arena_size()
        self.memory = np.full(self.size + 256, GUARD, np.uint8)
        self.start = -self.memory.ctypes.data % 64 + 64 + offset
        self.memory[self.start : self.start + self.size] = rubbish
        self.address = self.memory.ctypes.data + self.start
        self.library.reset(self.address)

    def push(self, frame: NDArray[np.uint8]) -> None:
        assert self.library.push(self.address, frame.ctypes.data) == OK

    def embedding(self) -> NDArray[np.int8]:
        out = np.zeros(self.made.embedding_shape, np.int8)
        assert self.library.embedding(self.address, out.ctypes.data) == OK
        return out

    def kept(self) -> bytes:
        """What the manifest says is remembered: header, first frames, maxima, rings."""
        begin = self.start + -self.address % 64
        return self.memory[begin : begin + self.made.manifest["memory"]["state_bytes"]].tobytes()

    def guards_live(self) -> bool:
        outside = np.delete(self.memory, np.s_[self.start : self.start + self.size])
        return bool((outside == GUARD).all())
