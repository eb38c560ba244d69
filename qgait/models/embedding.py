"""Float embeddings of whole clips in memory that does not grow with their length."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from qgait.models.layers import Backbone, FloatOps

FRAMES_AT_ONCE = 32


class RunningMax(FloatOps):
    """Float operators that see a clip in pieces: each set maximum goes on from the pieces before.

    What follows the set maxima is computed anew for each piece; the result for the last piece is the clip's.
    """

    def __init__(self) -> None:
        super().__init__()
        self._maxima: dict[str, torch.Tensor] = {}

    def frame_max(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """Maximum over the frames of this piece and of all earlier ones."""
        here = x.amax(dim=1)
        self._maxima[name] = torch.maximum(self._maxima[name], here) if name in self._maxima else here
        return self._maxima[name]


def embed_clip(model: Backbone, clip: NDArray[np.uint8], frames_at_once: int = FRAMES_AT_ONCE) -> NDArray[np.float32]:
    """Embedding float32 [P, C] of one clip, uint8 [s, 64, 44], with the model in eval mode on its own device."""
    if clip.dtype != np.uint8 or clip.ndim != 3 or len(clip) == 0:
        raise ValueError(
            f"a clip is uint8 [frames, rows, columns] with at least one frame, not {clip.dtype} {clip.shape}"
        )
    model.eval()
    device = next(model.parameters()).device
    ops = RunningMax()
    with torch.inference_mode():
        for start in range(0, len(clip), frames_at_once):
            piece = torch.from_numpy(np.ascontiguousarray(clip[start : start + frames_at_once])).to(device)
            parts = model.run(ops, (piece.float() / 255)[None, :, None])
    return parts[0].float().cpu().numpy()
