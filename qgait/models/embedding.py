"""Float embeddings of whole clips in memory that does not grow with their length."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from qgait.models.backbone import Backbone
from qgait.models.clips import Pieces, repeat_short
from qgait.models.float_ops import FloatOps

FRAMES_AT_ONCE = 32


def embed_clip(model: Backbone, clip: NDArray[np.uint8], frames_at_once: int = FRAMES_AT_ONCE) -> NDArray[np.float32]:
    """Embedding float32 [P, C] of one clip, uint8 [s, 64, 44], with the model in eval mode on its own device."""
    if clip.dtype != np.uint8 or clip.ndim != 3 or len(clip) == 0:
        raise ValueError(
            f"a clip is uint8 [frames, rows, columns] with at least one frame, not {clip.dtype} {clip.shape}"
        )
    model.eval()
    device = next(model.parameters()).device
    pieces = Pieces()
    ops = FloatOps(time=pieces)
    with torch.inference_mode():
        frames, _ = repeat_short(torch.from_numpy(np.ascontiguousarray(clip))[None], model.min_frames)
        for start in range(0, frames.shape[1], frames_at_once):
            pieces.last = start + frames_at_once >= frames.shape[1]
            piece = frames[:, start : start + frames_at_once].to(device)
            parts = model.run(ops, pieces.frames(piece.float() / 255).unsqueeze(2))
    return parts[0].float().cpu().numpy()
