"""The two short walks that a bundle's self-test is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.progress import Progress, untold

Clip = NDArray[np.uint8]
FRAMES = (6, 3)  # the least, of two clips of different length
CANDIDATES = 8  # sequences of a data folder that are looked at
WALKS = (("nm-01", 90), ("cl-01", 54))  # condition and view of the synthetic ones


def selftest_lengths(graph: Graph) -> tuple[int, int]:
    """Frames of the two clips: everything runs at least twice in the first; the second is repeated where any can be."""
    times = graph.schedule
    longer, shorter = FRAMES
    return max(longer, times.delay + 2 * times.stride), shorter if graph.min_frames == 1 else graph.min_frames - 1


def selftest_clips(graph: Graph, data: Path | Sequence[Clip] | None, progress: Progress = untold) -> list[Clip]:
    """Two clips uint8 [frames, H, W] of ``selftest_lengths``.

    They are the beginnings of sequences of ``data``, a folder in OpenGait's layout or clips, and without it of
    synthetic walkers. QgaitError when there are too few frames, or frames of another size than the graph takes.
    """
    height, width, _ = graph.tensors[graph.input].shape
    lengths = selftest_lengths(graph)
    if data is None:
        clips = _walkers((height, width), lengths, progress)
    else:
        if isinstance(data, Path):
            from qgait.data.opengait import Dataset
            from qgait.data.selection import load_clips, spread

            data_clips = load_clips(spread(Dataset.open(data).sequences, CANDIDATES), progress, lengths[0])
        else:
            data_clips = list(data)
        clips = [clip[: lengths[0]] for clip in data_clips if len(clip) >= lengths[0]][: len(lengths)]
        if len(clips) < len(lengths):
            where = f"{data} has" if isinstance(data, Path) else "There are"
            raise QgaitError(
                f"{where} too few silhouettes for a self-test, which takes two sequences of {lengths[0]}.",
                "give more of them in `data`, or leave `data` out.",
            )
    for clip in clips:
        if clip.shape[1:] != (height, width):
            raise _wrong_size((height, width), clip.shape[1:])
    return [clip[:frames] for clip, frames in zip(clips, lengths, strict=True)]


def _walkers(shape: tuple[int, int], lengths: tuple[int, int], progress: Progress) -> list[Clip]:
    from qgait.data.silhouettes import HEIGHT, WIDTH
    from qgait.data.walkers.dataset import sequence

    height, width = shape
    if height != HEIGHT or width > HEIGHT:
        raise _wrong_size(shape, (HEIGHT, WIDTH))
    clips = []
    for number, ((condition, view), frames) in enumerate(zip(WALKS, lengths, strict=True), 1):
        walk = sequence(0, number, condition, view, frames)
        margin = (walk.shape[2] - width) // 2
        clips.append(walk[:, :, margin : margin + width])
        progress("self-test walkers", number, len(WALKS))
    return clips


def _wrong_size(takes: tuple[int, int], has: tuple[int, ...]) -> QgaitError:
    return QgaitError(
        f"This model takes frames of {takes[0]} x {takes[1]} pixels, not {has[0]} x {has[1]}.",
        "give `data` of that size.",
    )
