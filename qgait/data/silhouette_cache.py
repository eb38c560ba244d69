"""All silhouettes of a data set in one memory-mapped file, so that a batch costs the frames that it draws and no more.

A clip whose pixels are only 0 and its largest value is stored with 1 bit a pixel, any other with 8: nothing is lost.
With ``binary`` every silhouette is thresholded at 128 first, so that all are packed (CASIA-B: 1.1 million frames, 393
MB); that changes the pixels of soft-edged data, and whoever evaluates should then threshold too
(``silhouettes.threshold``).

The file: a mark, the packed clips, the index as JSON, the index's length and the mark again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qgait.data import opengait
from qgait.data.silhouettes import Clip


class SilhouetteCache:
    """An open cache; several processes may have the same one open."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def length(self, sequence: opengait.Sequence) -> int:
        """The number of frames of ``sequence``."""
        raise NotImplementedError

    def frames(self, sequence: opengait.Sequence, indices: NDArray[np.intp]) -> Clip:
        """The chosen frames of ``sequence``: uint8 [len(indices), 64, 44], or all 64 columns if the cache has them."""
        raise NotImplementedError
