"""All silhouettes of a data set in one memory-mapped file, so that a batch costs the frames that it draws and no more.

A clip whose pixels are only 0 and its largest value is stored with 1 bit a pixel, any other with 8: nothing is lost.
With ``binary`` every silhouette is thresholded at 128 first, so that all are packed. That changes the pixels of
soft-edged data, and whoever evaluates should then threshold too (``silhouettes.threshold``). Every clip has a checksum,
which is looked at when the clip is first used.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from qgait.data import opengait
from qgait.data.cache_building import Form, Stamps, alone, build, is_same, is_whole, say, stamp_of
from qgait.data.cache_file import SUFFIX, CacheFile, open_cache
from qgait.data.silhouettes import HEIGHT, WIDTH, Clip
from qgait.errors import QgaitError
from qgait.progress import Progress


class SilhouetteCache:
    """An open cache; several processes may have the same one open. Made by :meth:`open`."""

    def __init__(self, path: Path, root: Path, wide: bool, file: CacheFile) -> None:
        self.path, self.wide = path, wide
        self._pixels = _pixels(wide)
        self._entries = {root / name: entry for name, entry in file.clips.items()}
        self._file = file
        self._checked: set[int] = set()  # where clips begin that are as they were written
        with suppress(OSError):  # a folder that may only be read
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))

    @classmethod
    def open(
        cls,
        sequences: Sequence[opengait.Sequence],
        folder: Path | str,
        *,
        wide: bool = False,
        binary: bool = False,
        jobs: int = 1,
        progress: Progress | None = None,
    ) -> SilhouetteCache:
        """The cache of ``sequences`` in ``folder``, which is built by ``jobs`` processes if it is not there.

        ``wide`` keeps all 64 columns, for perspective. The cache's name holds that of the data set; one that lacks a
        sequence, has an older version of it (by size and time of its file), or is damaged, is built anew, and that is
        printed; other sequences of the data set that are in it stay. Of several processes that need it, one builds and
        the others wait. Raises QgaitError if a sequence cannot be read, NoPlaceError if the file cannot be written;
        what was there before then stays.
        """
        root = _root(sequences)
        path = cls.place(sequences, folder, wide=wide, binary=binary)
        if binary:
            say(path, "silhouettes are thresholded at 128, which changes soft edges; threshold in evaluation too.")
        stamps = {s.path.relative_to(root).as_posix(): stamp_of(s.path) for s in sequences}
        file, reason = _open(path, _pixels(wide))
        if not _holds(file, stamps):
            with alone(path):
                file, reason = _open(path, _pixels(wide))  # another process may have built it meanwhile
                if not _holds(file, stamps):
                    say(path, reason or _what_changed(file, stamps))
                    by_name = dict(zip(stamps, sequences, strict=True))
                    build(path, root, by_name, stamps, file, Form(_pixels(wide), wide, binary), jobs, progress)
                    file, reason = _open(path, _pixels(wide))
        if file is None:
            raise QgaitError(f"{path} was removed while it was made.", "repeat the command.")
        return cls(path, root, wide, file)

    @staticmethod
    def place(
        sequences: Sequence[opengait.Sequence], folder: Path | str, *, wide: bool = False, binary: bool = False
    ) -> Path:
        """The file in ``folder`` that is, or would be, the cache of ``sequences``."""
        root = _root(sequences).resolve()
        digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:8]
        name = root.name.encode(errors="backslashreplace").decode()
        return Path(folder) / f"{name}-{digest}-{HEIGHT if wide else WIDTH}{'-binary' if binary else ''}{SUFFIX}"

    def length(self, sequence: opengait.Sequence) -> int:
        """The number of frames of ``sequence``."""
        return self._entries[sequence.path].frames

    def clip(self, sequence: opengait.Sequence) -> Clip:
        """All frames of ``sequence``."""
        return self.frames(sequence, np.arange(self.length(sequence)))

    def frames(self, sequence: opengait.Sequence, indices: NDArray[np.intp]) -> Clip:
        """The chosen frames of ``sequence``: uint8 [len(indices), 64, 44], or [..., 64] if the cache is wide.

        QgaitError if the clip is not what was written.
        """
        entry = self._entries[sequence.path]
        stored = self._file.clip(entry, self._pixels)
        if entry.start not in self._checked:
            if not is_whole(entry, stored):
                raise QgaitError(
                    f"{self.path} is damaged: {sequence.path} is not what was put there.", "remove that file."
                )
            self._checked.add(entry.start)
        rows = stored.reshape(entry.frames, -1)[indices]
        if entry.largest is not None:
            rows = np.unpackbits(rows, axis=1)
            rows *= np.uint8(entry.largest)
        return rows.reshape(len(indices), HEIGHT, -1)


def _root(sequences: Sequence[opengait.Sequence]) -> Path:
    return sequences[0].path.parents[3]


def _pixels(wide: bool) -> int:
    return HEIGHT * (HEIGHT if wide else WIDTH)


def _open(path: Path, pixels: int) -> tuple[CacheFile | None, str]:
    """The cache at ``path``, or None and why there is none."""
    if not path.exists():
        return None, "caching silhouettes."
    try:
        return open_cache(path, pixels), ""
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None, "built anew, because it is damaged."


def _holds(file: CacheFile | None, stamps: Stamps) -> bool:
    return file is not None and all(is_same(file.clips.get(name), stamp) for name, stamp in stamps.items())


def _what_changed(file: CacheFile | None, stamps: Stamps) -> str:
    assert file is not None
    changed = sum(not is_same(file.clips.get(name), stamp) for name, stamp in stamps.items())
    return f"built anew, because {changed} of {len(stamps)} sequences have changed or are new."
