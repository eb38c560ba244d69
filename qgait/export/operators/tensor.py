"""Where codes live, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Tensor:
    """Where codes live: ``real = (code - zero_point) * scale``.

    ``scale`` is float32, of shape () for a feature map and [P] for parts. ``lo``, ``hi`` bound the codes.
    """

    name: str
    shape: Shape
    scale: NDArray[np.float32]
    zero_point: int = 0
    lo: int = -128
    hi: int = 127
    per_frame: bool = True

    @property
    def size(self) -> int:
        """Bytes of one int8 tensor."""
        return int(np.prod(self.shape))

    @property
    def centred(self) -> NDArray[np.int64]:
        """The smallest and the largest ``code - zero_point``."""
        return np.array([self.lo - self.zero_point, self.hi - self.zero_point], np.int64)

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """(H, W, C). Raises ValueError for parts."""
        if len(self.shape) != 3:
            raise ValueError(f"needs a map [H, W, C], not {list(self.shape)}")
        return self.shape[0], self.shape[1], self.shape[2]
