"""Bits of a byte string, from the lowest of a byte to its highest, and windows of twelve at every position."""

from __future__ import annotations

import numpy as np

from qgait.runtime.ethosu.interpreter.errors import broken

WINDOW = 12
BEHIND = 256  # positions behind the end that have a window too, of zeros: more than a reader takes between two checks


class BitReader:
    """Bits of a stream; ``window`` holds the next twelve at every position."""

    def __init__(self, content: bytes) -> None:
        self.bits = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
        self.length = len(self.bits)
        padded = np.append(self.bits, np.zeros(2 * BEHIND, np.uint8)).astype(np.uint16)
        windows = sum(padded[i : i + self.length + BEHIND] << i for i in range(WINDOW))
        self.window = np.asarray(windows, np.uint16).data
        self.position = 0

    def get(self, count: int) -> int:
        """The next ``count`` bits, at most 15, as a number."""
        self.check(self.position + count)
        at = self.position
        self.position += count
        low = self.window[at] & (1 << min(count, WINDOW)) - 1
        return low if count <= WINDOW else low | (self.window[at + WINDOW] & (1 << count - WINDOW) - 1) << WINDOW

    def check(self, position: int) -> None:
        """QgaitError when ``position`` lies behind the end."""
        if position > self.length:
            raise broken("has weights that cannot be decompressed: they end within a slice")
