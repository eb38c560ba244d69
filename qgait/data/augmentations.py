"""OpenGait's random changes of whole training clips: perspective, the cut to 44 columns, flip, rotate, erase, affine.

Each one happens with its own probability and then with one draw for the whole clip, so a walk stays a walk. The order
is fixed and matters: perspective moves the corners of the 64 columns before the cut, so that people near the edge are
not lost to black; everything else sees the 44 columns that are left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.data.opencv import opencv
from qgait.data.silhouettes import HEIGHT, WIDTH, Clip, cut
from qgait.errors import QgaitError

_CHANNELS = 32
_TRIALS = 100  # to place a rectangle that fits
_PROBABILITIES = ("perspective", "flip", "rotate", "erase", "affine")


@dataclass(frozen=True)
class Augmentations:
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

    perspective: float = 0.0
    flip: float = 0.0
    rotate: float = 0.0
    erase: float = 0.0
    affine: float = 0.0
    perspective_columns: int = 10
    rotate_degrees: float = 10.0
    erase_area: tuple[float, float] = (0.05, 0.2)
    erase_aspect: tuple[float, float] = (0.3, 1 / 0.3)
    affine_pixels: int = 10

    def __post_init__(self) -> None:
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise QgaitError(f"The probability of {name} is {getattr(self, name)}.", "choose one from 0 to 1.")
        (smallest, largest), (flattest, tallest) = self.erase_area, self.erase_aspect
        if not 0 < smallest <= largest <= 1 or not 0 < flattest <= tallest:
            raise QgaitError(
                f"Rectangles of area {self.erase_area} and aspect {self.erase_aspect} cannot be erased.",
                "give two numbers above 0, the smaller first; areas are at most 1.",
            )
        if not 1 <= self.perspective_columns <= HEIGHT // 2 or not 1 <= self.affine_pixels <= WIDTH // 2:
            raise QgaitError(
                f"Corners cannot move by {self.perspective_columns} columns or {self.affine_pixels} pixels.",
                f"move them by 1 to {HEIGHT // 2} columns and 1 to {WIDTH // 2} pixels.",
            )

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
