"""One silhouette of any size to the 64 x 64 frame that gait networks are trained on.

The steps are those of OpenGait's data preparation: cut away empty rows above and below the person, scale to a height of
64 with the ratio kept, centre on the column at which half of the mass is passed. Everything is integer arithmetic, so
the result has the same bits on every machine. The scaling is the bicubic kernel of OpenCV (a = -0.75, no smoothing
before shrinking, border pixels repeated, weights in 1/2048); OpenCV's own result is at most one grey level away.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from qgait.data.silhouettes import Clip, check_clip
from qgait.errors import QgaitError

SIZE = 64
# OpenGait's bound for "nobody in the picture": fewer than 40 white pixels
EMPTY_SUM = 10000
_WEIGHT_BITS = 11
# pixels of a scaled picture: a line along a picture of 8K would be scaled to gigabytes, and is nobody
MOST_SCALED = 1 << 24


def align(mask: NDArray[np.uint8] | NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    """Return the aligned frame, uint8 [64, 64] with values 0 .. 255, or None if there is hardly anybody in ``mask``.

    ``mask`` is [h, w], uint8 with background 0 and person 255 (values between are soft edges), or boolean. None means
    that the sum of all pixels is at most 10,000, or that what is white is a flat line, thousands of times as wide as
    high. Anything else than such an array is a :class:`QgaitError`.
    """
    if mask.ndim != 2 or 0 in mask.shape or mask.dtype not in (np.dtype(np.uint8), np.dtype(np.bool_)):
        raise QgaitError(
            f"A silhouette to align is one uint8 or boolean picture [height, width], not {mask.dtype} {mask.shape}.",
            "pass one grayscale frame at a time, person 255 on background 0",
        )
    picture = mask.astype(np.uint8)
    if mask.dtype == np.bool_:
        picture = picture * np.uint8(255)
    if int(picture.sum(dtype=np.int64)) <= EMPTY_SUM:
        return None
    rows = np.flatnonzero(picture.any(axis=1))
    person = picture[rows[0] : rows[-1] + 1]
    width = max(1, int(SIZE * (person.shape[1] / person.shape[0])))
    if max(SIZE, person.shape[0]) * width > MOST_SCALED:
        return None
    scaled = resize(person, SIZE, width)
    mass = scaled.sum(axis=0, dtype=np.int64).cumsum()
    if mass[-1] == 0:  # a picture so tall and thin that scaling leaves nothing of it
        return None
    centre = int(np.argmax(2 * mass > mass[-1]))
    half = SIZE // 2
    wide = np.pad(scaled, ((0, 0), (half, half)))
    return np.ascontiguousarray(wide[:, centre : centre + SIZE])


def align_walk(pictures: Iterable[NDArray[np.uint8] | NDArray[np.bool_]], where: str = "these pictures") -> Clip:
    """The frames of one walk as networks take them, uint8 [n, 64, 44], without the pictures that show hardly anybody.

    QgaitError, naming ``where`` they are from, when nobody is in any of them.
    """
    frames = [frame for frame in map(align, pictures) if frame is not None]
    if not frames:
        raise QgaitError(f"Nobody is in {where}.", "silhouettes are white on black: 255 on 0, or True on False.")
    return check_clip(np.stack(frames), where)


def resize(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Bicubic scaling of uint8 [h, w] to uint8 [height, width], rounded half up and clipped to 0 .. 255."""
    if picture.shape == (height, width):
        return picture
    columns, across = _taps(picture.shape[1], width)
    rows, down = _taps(picture.shape[0], height)
    # the |weights| of one output add up to 1.375 at most, and 255 * (1.375 * 2^11)^2 is below 2^31
    wide = np.einsum("hwt,wt->hw", picture.astype(np.int32)[:, columns], across)
    tall = np.einsum("htw,ht->hw", wide[rows], down)
    rounded = (tall + (1 << (2 * _WEIGHT_BITS - 1))) >> (2 * _WEIGHT_BITS)
    return rounded.clip(0, 255).astype(np.uint8)


def _taps(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """The four source indices and integer weights of each of ``new`` outputs: two arrays [new, 4]."""
    position = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
    first = np.floor(position)
    t = position - first
    a = np.float32(-0.75)
    far, near = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a, ((a + 2) * t - (a + 3)) * t * t + 1
    u = 1 - t
    after = ((a + 2) * u - (a + 3)) * u * u + 1
    weights = np.stack([far, near, after, 1 - far - near - after], axis=1)
    indices = (first[:, None] + np.arange(-1, 3)).clip(0, old - 1).astype(np.intp)
    return indices, np.rint(weights * (1 << _WEIGHT_BITS)).astype(np.int32)
