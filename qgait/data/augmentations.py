"""OpenGait's random changes of whole training clips: perspective, the cut to 44 columns, flip, rotate, erase, affine.

Each one happens with its own probability and then with one draw for the whole clip, so a walk stays a walk. The order
is fixed and matters: perspective moves the corners of the 64 columns before the cut, so that people near the edge are
not lost to black; everything else sees the 44 columns that are left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from qgait.data.opencv import opencv
from qgait.data.silhouettes import HEIGHT, WIDTH, Clip, cut
from qgait.errors import QgaitError
from qgait.field_bounds import Bounded, Share

_CHANNELS = 32
_TRIALS = 100  # to place a rectangle that fits
_Area = Annotated[float, Meta(gt=0, le=1)]
_Aspect = Annotated[float, Meta(ge=0.01, le=100)]


@dataclass(frozen=True)
class Augmentations(Bounded):
    """How probable each change is, 0 .. 1, and how large it can be. The ranges are OpenGait's.

    - ``perspective``: the upper and lower corners move inwards by whole columns below ``perspective_columns``, each by
      its own number; the picture between them is stretched to the full width.
    - ``flip``: left and right are exchanged.
    - ``rotate``: by an angle from -``rotate_degrees`` to ``rotate_degrees``. OpenGait passes (rows / 2, columns / 2) as
      the centre to OpenCV, which reads (x, y): pictures turn around x = 32, y = 22, not around their middle. We keep
      that, so that its settings mean the same.
    - ``erase``: one rectangle becomes 0, ``erase_area`` of the picture in size, height / width in ``erase_aspect``.
    - ``affine``: three corners move inwards by whole pixels below ``affine_pixels`` in both directions, before and
      after; they are (0, 0), (rows, 0) and (0, columns) as (x, y), again as OpenGait has it.
    """

    perspective: Share = 0.0
    flip: Share = 0.0
    rotate: Share = 0.0
    erase: Share = 0.0
    affine: Share = 0.0
    perspective_columns: Annotated[int, Meta(ge=1, le=HEIGHT // 2)] = 10
    rotate_degrees: Annotated[float, Meta(ge=0, le=180)] = 10.0
    erase_area: tuple[_Area, _Area] = (0.05, 0.2)
    erase_aspect: tuple[_Aspect, _Aspect] = (0.3, 1 / 0.3)
    affine_pixels: Annotated[int, Meta(ge=1, le=WIDTH // 2)] = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("erase_area", "erase_aspect"):
            smallest, largest = getattr(self, name)
            if smallest > largest:
                raise QgaitError(f"{name} is from {smallest} to {largest}.", "give the smaller number first.")

    @property
    def wide(self) -> bool:
        """Whether frames of 64 columns are needed."""
        return self.perspective > 0

    def apply(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """Frames uint8 [s, 64, 64] or [s, 64, 44] to uint8 [s, 64, 44], all changed alike; ``clip`` stays as it is.

        Turned and stretched pixels are interpolated linearly and rounded, with black around the picture; their last
        bits can differ between versions of OpenCV. Raises QgaitError if ``perspective`` meets frames that are cut.
        """
        if clip.ndim != 3 or clip.shape[1] != HEIGHT or clip.shape[2] not in (HEIGHT, WIDTH):
            raise ValueError(f"a clip is [frames, 64, 64 or 44], not {clip.shape}")
        if self.wide and clip.shape[2] != HEIGHT:
            raise QgaitError(
                "Perspective needs frames of 64 columns, and these have 44.",
                "switch it off, or prepare the data with 64 columns.",
            )
        if rng.random() < self.perspective:
            clip = self._perspective(clip, rng)
        clip = cut(clip)
        if rng.random() < self.flip:
            clip = clip[:, :, ::-1]
        if rng.random() < self.rotate:
            clip = self._rotate(clip, rng)
        if rng.random() < self.erase:
            clip = self._erase(clip, rng)
        if rng.random() < self.affine:
            clip = self._affine(clip, rng)
        return np.ascontiguousarray(clip)

    def _perspective(self, clip: Clip, rng: np.random.Generator) -> Clip:
        cv2 = _opencv()
        rows, columns = clip.shape[1:]
        left = rng.integers(0, self.perspective_columns, 2)
        right = columns - 1 - rng.integers(0, self.perspective_columns, 2)
        corners = np.array([(left[0], 0), (right[0], 0), (right[1], rows), (left[1], rows)], np.float32)
        full = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], np.float32)
        return _warp(clip, cv2.warpPerspective, cv2.getPerspectiveTransform(corners, full))

    def _rotate(self, clip: Clip, rng: np.random.Generator) -> Clip:
        cv2 = _opencv()
        angle = rng.uniform(-self.rotate_degrees, self.rotate_degrees)
        centre = (clip.shape[1] // 2, clip.shape[2] // 2)
        return _warp(clip, cv2.warpAffine, cv2.getRotationMatrix2D(centre, angle, 1.0))

    def _erase(self, clip: Clip, rng: np.random.Generator) -> Clip:
        rows, columns = clip.shape[1:]
        for _ in range(_TRIALS):
            area = rng.uniform(*self.erase_area) * rows * columns
            aspect = rng.uniform(*self.erase_aspect)
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height < rows and width < columns:
                top = int(rng.integers(0, rows - height, endpoint=True))
                left = int(rng.integers(0, columns - width, endpoint=True))
                clip = clip.copy()
                clip[:, top : top + height, left : left + width] = 0
                return clip
        return clip

    def _affine(self, clip: Clip, rng: np.random.Generator) -> Clip:
        cv2 = _opencv()
        rows, columns = clip.shape[1:]
        corners = np.array([(0, 0), (rows, 0), (0, columns)])
        inwards = np.array([(1, 1), (-1, 1), (1, -1)])
        before, after = corners + inwards * rng.integers(0, self.affine_pixels, (2, 3, 2))
        matrix = cv2.getAffineTransform(before.astype(np.float32), after.astype(np.float32))
        return _warp(clip, cv2.warpAffine, matrix)


def _warp(clip: Clip, warp: Callable[..., Any], matrix: NDArray[np.float64]) -> Clip:
    """OpenCV's ``warp`` of every frame, 32 at a time as the channels of one picture, which is ten times faster.

    It is always 32: for 1, 3 or 4 channels OpenCV 5 computes in another way, and a frame's result must not depend on
    how many come with it. With 32 it places pixels to 1/32, as OpenCV 4 does.
    """
    cv2 = _opencv()
    frames, rows, columns = clip.shape
    result = np.empty_like(clip, order="C")
    for start in range(0, frames, _CHANNELS):
        piece = clip[start : start + _CHANNELS]
        planes = np.zeros((_CHANNELS, rows * columns), np.uint8)
        planes[: len(piece)] = piece.reshape(len(piece), -1)
        picture = cv2.transpose(planes).reshape(rows, columns, _CHANNELS)
        warped = warp(picture, matrix, (columns, rows)).reshape(-1, _CHANNELS)
        result[start : start + _CHANNELS] = cv2.transpose(warped)[: len(piece)].reshape(piece.shape)
    return result


def _opencv() -> Any:
    return opencv("Augmentation", "torch")
