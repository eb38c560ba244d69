"""What is in a data set: every sequence read once, counted, and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qgait.data.opengait import Dataset
from qgait.data.pickles import load_arrays
from qgait.data.silhouettes import check_clip
from qgait.errors import QgaitError


@dataclass
class Survey:
    """Facts about the sequences that can be read, and ``damaged``: file -> what is wrong with it, for the others.

    ``frames`` are the lengths, ``formats`` count number format and frame size as stored ("uint8 64x64"), ``foreground``
    are the shares of pixels from 128 up (0 .. 1, after the cut to 44 columns), ``empty_frames`` counts the frames
    without such a pixel.
    """

    frames: list[int] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    foreground: list[float] = field(default_factory=list)
    empty_frames: int = 0
    damaged: dict[str, str] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """The same as plain numbers and texts for JSON."""
        return {
            "readable": len(self.frames),
            "frames": _spread(self.frames) | {"total": sum(self.frames)},
            "formats": dict(sorted(self.formats.items())),
            "foreground": _spread(self.foreground),
            "empty_frames": self.empty_frames,
            "damaged": [{"file": file, "problem": problem} for file, problem in self.damaged.items()],
        }


def survey(dataset: Dataset, progress: Callable[[int, int], None] | None = None) -> Survey:
    """Read every sequence of ``dataset``. Damaged ones are recorded, not raised; ``progress(done, total)`` follows."""
    result = Survey()
    for done, sequence in enumerate(dataset.sequences, 1):
        try:
            array = load_arrays(sequence.path)
            clip = check_clip(array, str(sequence.path))
        except QgaitError as error:
            result.damaged[str(sequence.path)] = error.problem
        else:
            person = clip >= 128
            result.frames.append(len(clip))
            result.formats[f"{array.dtype.name} {array.shape[1]}x{array.shape[2]}"] += 1
            result.foreground.append(float(person.mean()))
            result.empty_frames += int((~person.any(axis=(1, 2))).sum())
        if progress is not None:
            progress(done, len(dataset.sequences))
    return result


def _spread(values: list[Any]) -> dict[str, Any]:
    if not values:
        return {"min": None, "median": None, "max": None}
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}
