"""What a clip must be before a runtime takes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError


def require_clip(clip: NDArray[np.generic], height: int, width: int) -> None:
    """Raises QgaitError unless ``clip`` is uint8 [frames, height, width] with at least one frame."""
    if clip.dtype != np.uint8 or clip.ndim != 3 or clip.shape[1:] != (height, width) or not len(clip):
        found = f"{clip.dtype} {list(clip.shape)}"
        raise QgaitError(f"A clip is {found}, not uint8 [frames, {height}, {width}].", "align the silhouettes first.")
