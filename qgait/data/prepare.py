"""Folders of silhouette pictures, RAW/subject/type/view/*.png, to OpenGait's layout.

Each frame is aligned by :mod:`qgait.data.align`; only reading pictures needs OpenCV.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.data.align import align
from qgait.data.folders import IMAGES, check_folder, sequence_folders, wrong_layout
from qgait.data.opencv import opencv
from qgait.data.pictures import read_image
from qgait.data.processes import run_each
from qgait.errors import QgaitError
from qgait.files import replace_file

SHORT = 5


@dataclass
class Prepared:
    """What came of each sequence, by its name ``subject/type/view``.

    ``written`` maps the new ones to their number of frames, ``kept`` were there before, ``failed`` maps the others to
    the reason. ``short`` are those of the new ones with fewer than 5 frames.
    """

    written: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def short(self) -> list[str]:
        return sorted(name for name, frames in self.written.items() if frames < SHORT)


def prepare(
    raw: Path,
    out: Path,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Align the pictures of every view folder below ``raw`` and write ``out``/subject/type/view/view.pkl.

    Pictures are taken in the order of the numbers in their names; those with hardly any white pixels are skipped. Each
    output is uint8 [frames, 64, 64]. Outputs that are already there are kept, so an interrupted run can be repeated. A
    sequence with an unreadable picture, or with nobody in it, fails with a reason and does not stop the others.
    ``progress(done, total)`` is called after each sequence. Raises :class:`QgaitError` if there is nothing to prepare
    or OpenCV is missing.
    """
    _opencv()
    check_folder(raw, "pictures")
    result = Prepared()
    names, work = [], []
    left_out: list[str] = []
    for subject, kind, view, files in sequence_folders(raw, IMAGES, left_out):
        name = f"{subject}/{kind}/{view}"
        target = out / subject / kind / view / f"{view}.pkl"
        if target.exists():
            result.kept.append(name)
        elif files:
            names.append(name)
            work.append(([raw / name / f for f in sorted(files, key=number_order)], target))
        else:
            result.failed[name] = "there are no pictures in it"
    result.failed |= dict((text.partition(": ")[::2]) for text in left_out)
    if not work and not result.kept:
        raise wrong_layout(raw, "SUBJECT/TYPE/VIEW/*.png", IMAGES)
    done = len(result.kept) + len(result.failed)
    total = done + len(work)
    for i, (frames, reason) in run_each(_one, work, jobs):
        if reason is None:
            result.written[names[i]] = frames
        else:
            result.failed[names[i]] = reason
        done += 1
        if progress is not None:
            progress(done, total)
    return result


def _one(pictures: list[Path], target: Path) -> tuple[int, str | None]:
    """Prepare one sequence: the number of frames, and the reason if it failed."""
    _opencv().setNumThreads(1)
    try:
        frames, brightest = [], 0
        for path in pictures:
            picture = read_image(path)
            brightest = max(brightest, int(picture.max()))
            frame = align(picture)
            if frame is not None:
                frames.append(frame)
        if not frames:
            hint = "; the person has to be 255, and the largest value is 1" if brightest == 1 else ""
            return 0, f"nobody is in any of its {len(pictures)} pictures{hint}"
        write_sequence(np.stack(frames), target)
    except (QgaitError, OSError) as error:
        return 0, error.problem if isinstance(error, QgaitError) else f"it cannot be written: {error.strerror}"
    return len(frames), None


def write_sequence(frames: NDArray[np.uint8], target: Path) -> None:
    """Pickle uint8 [n, 64, 64] to ``target`` as OpenGait reads it, in one move."""
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_file(target, pickle.dumps(frames, protocol=4))


def number_order(name: str) -> list[tuple[int, str]]:
    """Sort key by which frame 10 comes after frame 9, zeros in front or not."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _opencv() -> Any:
    return opencv("Reading pictures", "images")
