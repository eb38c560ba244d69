"""The one form in which silhouettes travel inside qgait: uint8 [frames, 64, 44], background 0, person 255."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError

HEIGHT = 64
WIDTH = 44
_CUT = 10  # columns dropped on each side of 64, as OpenGait's BaseSilCutting does

Clip = NDArray[np.uint8]


def cut(clip: NDArray[Any]) -> NDArray[Any]:
    """Frames [n, 64, 64] without the 10 columns on each side; those with 44 columns as they are."""
    return clip[:, :, _CUT:-_CUT] if clip.shape[2] == HEIGHT else clip


def threshold(clip: Clip) -> Clip:
    """Silhouettes without soft edges: 255 where ``clip`` has 128 or more, else 0."""
    return np.where(clip >= 128, np.uint8(255), np.uint8(0))


def check_clip(array: NDArray[Any], where: str, wide: bool = False) -> Clip:
    """Return the silhouettes in ``array`` as uint8 [n, 64, 44], or say what is wrong with them.

    ``array`` is [n, 64, 64] (10 columns are dropped on each side) or [n, 64, 44], with n >= 1. Its numbers may be

    - boolean: False becomes 0 and True 255;
    - any integer type: 0 .. 255 is kept; if 1 is the largest value of the clip, 1 becomes 255;
    - any float type: 0 .. 255 is rounded (half up); if no value is above 1, everything is multiplied by 255 first.

    With ``wide`` nothing is dropped, and the result is uint8 [n, 64, 64]; 44 columns are then refused. ``where`` names
    the file or variable in the :class:`QgaitError` that everything else raises.
    """
    if not isinstance(array, np.ndarray):
        raise QgaitError(f"{where} is a {type(array).__name__}, not a numpy array.", "pass an array [frames, 64, 64]")
    _check_shape(array.shape, where)
    if wide and array.shape[2] != HEIGHT:
        raise QgaitError(
            f"{where} has frames of 44 columns, and perspective needs all 64.",
            "train without perspective, or prepare the data with 64 columns",
        )
    values = array if wide else cut(array)
    if array.dtype == np.bool_:
        return np.ascontiguousarray(values.astype(np.uint8) * np.uint8(255))
    if array.dtype.kind not in "iuf":
        raise QgaitError(f"{where} has the type {array.dtype}, not numbers.", "store silhouettes as uint8, 0 .. 255")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise QgaitError(f"{where} contains NaN or infinite values.", "store silhouettes as uint8, 0 .. 255")
    low, high = array.min(), array.max()
    if low < 0 or high > 255:
        raise QgaitError(
            f"{where} has values from {low:g} to {high:g}; silhouettes go from 0 to 255 (or 0 to 1).",
            "undo any normalization and store the silhouettes as uint8",
        )
    if array.dtype.kind == "f":
        scale = 255.0 if high <= 1 else 1.0
        return np.ascontiguousarray(np.floor(values.astype(np.float64) * scale + 0.5).astype(np.uint8))
    codes = values.astype(np.uint8)
    return np.ascontiguousarray(codes * np.uint8(255) if high == 1 else codes)


def _check_shape(shape: tuple[int, ...], where: str) -> None:
    problem = f"{where} has the shape {list(shape)} instead of [frames, 64, 64] or [frames, 64, 44]."
    if len(shape) == 3 and shape[0] == 0:
        raise QgaitError(f"{where} has no frames.", "leave the sequence out, or record it again")
    if len(shape) == 3 and shape[1] == HEIGHT and shape[2] in (HEIGHT, WIDTH):
        return
    if len(shape) == 4 and 1 in (shape[1], shape[3]):
        axis = 1 if shape[1] == 1 else 3
        raise QgaitError(problem, f"drop the channel axis, for example with array.squeeze({axis})")
    if len(shape) == 4:
        raise QgaitError(problem, "pass silhouettes with one channel; colour frames have to be segmented first")
    if shape in ((HEIGHT, HEIGHT), (HEIGHT, WIDTH)):
        raise QgaitError(problem, "a single frame is array[None]")
    raise QgaitError(problem, "align the frames to 64 x 64 with `qgait data prepare` or qgait.data.align.align")
