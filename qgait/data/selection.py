"""Which sequences of a data set are looked at, and loading them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.data import opengait
from qgait.data.silhouettes import Clip, check_clip
from qgait.errors import QgaitError
from qgait.progress import Progress


def spread(sequences: Sequence[opengait.Sequence], count: int) -> list[opengait.Sequence]:
    """``count`` of the sequences (all, if there are fewer), drawn over people, conditions and views by a fixed seed."""
    if count < 1:
        raise QgaitError(f"{count} sequences were asked for.", "ask for one or more.")
    order = np.random.default_rng(0).permutation(len(sequences))[:count]
    return [sequences[i] for i in sorted(order)]


def load_clips(
    sequences: Sequence[opengait.Sequence],
    progress: Progress | None = None,
    frames: int | None = None,
) -> list[Clip]:
    """Silhouettes uint8 [n, 64, 44] of every sequence, of each the first ``frames`` frames."""
    clips = []
    for i, sequence in enumerate(sequences):
        clips.append(sequence.load()[:frames])
        if progress is not None:
            progress("loading silhouettes", i + 1, len(sequences))
    return clips


def clips_of(
    data: Path | Sequence[NDArray[Any]],
    count: int,
    frames: int | None = None,
    progress: Progress | None = None,
    partition: str | None = None,
) -> list[Clip]:
    """Silhouettes uint8 [n, 64, 44], of each walk the first ``frames`` frames.

    Of a folder they are ``count`` sequences as ``spread`` draws them, with a ``partition`` from its training people;
    of a list they are all of its clips, which ``check_clip`` takes.
    """
    if isinstance(data, Path):
        dataset = opengait.Dataset.open(data, partition)
        sequences = dataset.sequences if partition is None else dataset.train
        return load_clips(spread(sequences, count), progress, frames)
    return [check_clip(clip, f"clip {number}")[:frames] for number, clip in enumerate(data)]
