"""Synthetic walkers as a data set in OpenGait's folder layout."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from qgait.data.walkers.camera import VIEWS
from qgait.data.walkers.sequence import CONDITIONS, silhouettes, stream
from qgait.errors import QgaitError
from qgait.files import replace_file, require_space
from qgait.reading import MIB, read_bytes

# Raised whenever the same seed gives other silhouettes than before.
VERSION = 4
LABEL = "walkers.json"
SIZE = 64  # of a silhouette, both ways
SHORTEST, LONGEST = 2 / 3, 5 / 3  # frames of a sequence against the mean: 40 to 100 of 60, as in CASIA-B
LENGTH = 5  # what its random stream is for, beside those of sequence.py


def sequence(seed: int, subject: int, condition: str, view: int, frames: int) -> np.ndarray:
    """Aligned silhouettes uint8 [frames, 64, 64] at 25 frames a second; the same arguments give the same bytes.

    ``condition`` is one of CASIA-B's (``nm-01`` .. ``nm-06``, ``bg-01``, ``bg-02``, ``cl-01``, ``cl-02``) and ``view``
    one of its angles in degrees (0, 18, .. 180). All views of a condition see the same walk.
    """
    _check_names([condition], [view])
    if frames < 1 or subject < 1 or seed < 0:
        raise QgaitError(
            f"Seed {seed}, subject {subject} and {frames} frames make no sequence.",
            "use a seed of at least 0, a subject and a number of frames of at least 1",
        )
    return silhouettes(seed, subject, condition, view, frames)


def synthesize(
    root: Path,
    subjects: int,
    seed: int,
    frames: int = 60,
    first_subject: int = 1,
    conditions: Sequence[str] = CONDITIONS,
    views: Sequence[int] = VIEWS,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``subjects`` walkers to ``root``/<subject>/<type>/<view>/<view>.pkl, uint8 [n, 64, 64] each.

    ``frames`` is the mean length of a sequence. ``root`` is new, empty, or an earlier call's with the same seed, frames
    and version: sequences that are there already are kept, so an interrupted call is resumed by repeating it, and more
    subjects are added with ``first_subject``. ``progress(done, total)`` is called after each sequence. Raises
    QgaitError for a folder that holds anything else.
    """
    if subjects < 1 or first_subject < 1 or frames < 2:
        raise QgaitError(
            f"{subjects} subjects from {first_subject} with {frames} frames make no data set.",
            "use at least 1 subject, a first subject of at least 1 and at least 2 frames",
        )
    _check_names(conditions, views)
    root = Path(root)
    require_space(root, missing_bytes(root, subjects, frames, first_subject, conditions, views), str(root))
    _label(root, seed, frames)
    total, done = subjects * len(conditions) * len(views), 0
    for subject in range(first_subject, first_subject + subjects):
        for condition in conditions:
            for view in views:
                file = _file(root, subject, condition, view)
                if not file.exists():
                    length = sequence_length(seed, subject, condition, view, frames)
                    _write(file, pickle.dumps(sequence(seed, subject, condition, view, length), protocol=4))
                done += 1
                if progress is not None:
                    progress(done, total)


def missing_bytes(
    root: Path,
    subjects: int,
    frames: int,
    first_subject: int = 1,
    conditions: Sequence[str] = CONDITIONS,
    views: Sequence[int] = VIEWS,
) -> int:
    """About as much as ``synthesize`` will write with the same arguments."""
    people = range(first_subject, first_subject + subjects)
    files = (_file(root, subject, condition, view) for subject in people for condition in conditions for view in views)
    return sum(not file.exists() for file in files) * frames * SIZE * SIZE


def _file(root: Path, subject: int, condition: str, view: int) -> Path:
    return root / f"{subject:03d}" / condition / f"{view:03d}" / f"{view:03d}.pkl"


def sequence_length(seed: int, subject: int, condition: str, view: int, mean: int) -> int:
    """How many frames one sequence has: fewer from the side, where the path in the picture is shorter."""
    rng = stream(seed, subject, LENGTH, CONDITIONS.index(condition), view)
    by_view = 0.85 + 0.3 * abs(np.cos(np.radians(view)))
    factor = by_view * np.exp(0.15 * rng.standard_normal())
    return max(1, round(mean * float(np.clip(factor, SHORTEST, LONGEST))))


def _check_names(conditions: Sequence[str], views: Sequence[int]) -> None:
    for condition in conditions:
        if condition not in CONDITIONS:
            raise QgaitError(f"There is no condition {condition!r}.", f"choose from {', '.join(CONDITIONS)}")
    for view in views:
        if view not in VIEWS:
            raise QgaitError(f"There is no view {view}.", f"choose from {', '.join(map(str, VIEWS))}")


def _label(root: Path, seed: int, frames: int) -> None:
    """Say in ``root`` what the data set is, or check that it says so already."""
    label = {
        "data": "synthetic walkers of qgait, aligned silhouettes in OpenGait's layout, CASIA-B naming",
        "version": VERSION,
        "seed": seed,
        "mean_frames": frames,
        "source": "gait statistics learned from the CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu)",
    }
    file = root / LABEL
    if file.exists():
        try:
            found = msgspec.json.decode(read_bytes(file, MIB, "name a new or empty folder."))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            found = None
        if found != label:
            raise QgaitError(
                f"{root} holds synthetic walkers made with other settings or by another version ({LABEL}).",
                "use the same seed and frames, or another folder",
            )
        return
    # the temporary name of another process's label, if several make subjects of one set at once, is not strange
    if root.exists() and (not root.is_dir() or any(not p.name.startswith(f".{LABEL}") for p in root.iterdir())):
        raise QgaitError(f"{root} is not empty and holds no {LABEL}.", "name a new or empty folder")
    _write(file, (json.dumps(label, indent=2) + "\n").encode())


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, content)
