"""A data set of three people in memory: each a blob of its own that moves sideways, a little lower in each view."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from example_graphs import silhouettes

from qgait.data.opengait import Sequence


class Blob(Sequence):
    """Four frames, uint8 [4, 64, 44]."""

    def load(self, wide: bool = False) -> np.ndarray:
        blob = np.roll(silhouettes(1, int(self.subject))[0], int(self.view), axis=0)
        return np.stack([np.roll(blob, k, axis=1) for k in range(4)])


WALKS = [Blob(f"{p:03}", "nm-01", f"{v:03}", Path()) for p in range(3) for v in range(3)]
