"""Which sequences of a data set a command looks at, and loading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from qgait.data import opengait
from qgait.data.silhouettes import Clip
from qgait.errors import QgaitError


def spread(sequences: Sequence[opengait.Sequence], count: int) -> list[opengait.Sequence]:
    """``count`` of the sequences (all, if there are fewer), drawn over people, conditions and views by a fixed seed."""
    if count < 1:
        raise QgaitError(f"{count} sequences were asked for.", "ask for one or more.")
    order = np.random.default_rng(0).permutation(len(sequences))[:count]
    return [sequences[i] for i in sorted(order)]


def load_clips(
    sequences: Sequence[opengait.Sequence],
    progress: Callable[[str, int, int], None] | None = None,
    frames: int | None = None,
) -> list[Clip]:
    """Silhouettes uint8 [n, 64, 44] of every sequence, of each the first ``frames`` frames."""
    clips = []
    for i, sequence in enumerate(sequences):
        clips.append(sequence.load()[:frames])
        if progress is not None:
            progress("loading silhouettes", i + 1, len(sequences))
    return clips
