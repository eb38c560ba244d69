"""All silhouettes of a data set in one memory-mapped file, so that a batch costs the frames that it draws and no more.

A clip whose pixels are only 0 and its largest value is stored with 1 bit a pixel, any other with 8: nothing is lost.
With ``binary`` every silhouette is thresholded at 128 first, so that all are packed. That changes the pixels of
soft-edged data, and whoever evaluates should then threshold too (``silhouettes.threshold``).
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from qgait.data import opengait
from qgait.data.cache_index import MARK, Entry, read_index, write_index
from qgait.data.processes import run_each
from qgait.data.silhouettes import HEIGHT, WIDTH, Clip, threshold
from qgait.errors import QgaitError
from qgait.files import replacing, require_space
from qgait.progress import Progress


class SilhouetteCache:
    """An open cache; several processes may have the same one open. Made by :meth:`open`."""

    def __init__(self, path: Path, root: Path, wide: bool, index: dict[str, Entry]) -> None:
        self.path, self.wide = path, wide
        self._pixels = HEIGHT * (HEIGHT if wide else WIDTH)
        self._entries = {root / name: entry for name, entry in index.items()}
        self._bytes = np.asarray(np.memmap(path, np.uint8, "r"))

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
        printed. Of several processes that need it, one builds and the others wait. Raises QgaitError if a sequence
        cannot be read or the file cannot be written; what was there before then stays.
        """
        folder = Path(folder)
        root = sequences[0].path.parents[3]
        place = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:8]
        name = root.resolve().name.encode(errors="backslashreplace").decode()
        kind = f"{HEIGHT if wide else WIDTH}{'-binary' if binary else ''}"
        path = folder / f"{name}-{place}-{kind}.silhouettes"
        if binary:
            _say(path, "silhouettes are thresholded at 128, which changes soft edges; threshold in evaluation too.")
        stamps = {s.path.relative_to(root).as_posix(): _stamp(s) for s in sequences}
        pixels = HEIGHT * (HEIGHT if wide else WIDTH)
        index, reason = _valid_index(path, stamps, pixels)
        if index is None:
            with _alone(folder, path):
                index, reason = _valid_index(path, stamps, pixels)  # another process may have built it meanwhile
                if index is None:
                    _say(path, reason)
                    index = _build(
                        path, dict(zip(stamps, sequences, strict=True)), stamps, wide, binary, jobs, progress
                    )
        return cls(path, root, wide, index)

    def length(self, sequence: opengait.Sequence) -> int:
        """The number of frames of ``sequence``."""
        return self._entries[sequence.path].frames

    def clip(self, sequence: opengait.Sequence) -> Clip:
        """All frames of ``sequence``."""
        return self.frames(sequence, np.arange(self.length(sequence)))

    def frames(self, sequence: opengait.Sequence, indices: NDArray[np.intp]) -> Clip:
        """The chosen frames of ``sequence``: uint8 [len(indices), 64, 44], or [..., 64] if the cache is wide."""
        entry = self._entries[sequence.path]
        row = self._pixels * entry.bits // 8
        rows = self._bytes[entry.start : entry.start + entry.frames * row].reshape(entry.frames, row)[indices]
        if entry.largest is not None:
            rows = np.unpackbits(rows, axis=1)
            rows *= np.uint8(entry.largest)
        return rows.reshape(len(indices), HEIGHT, -1)


def _stamp(sequence: opengait.Sequence) -> tuple[int, int]:
    try:
        facts = sequence.path.stat()
    except OSError as error:
        raise QgaitError(f"{sequence.path} cannot be read: {error.strerror}.", "open the data set again.") from error
    return facts.st_size, facts.st_mtime_ns


def _valid_index(path: Path, stamps: dict[str, tuple[int, int]], pixels: int) -> tuple[dict[str, Entry] | None, str]:
    """The index of the cache at ``path``, or None and the reason why it has to be built."""
    if not path.exists():
        return None, f"caching {len(stamps)} sequences."
    try:
        index = read_index(path, pixels)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None, "built anew, because it is damaged."
    changed = sum(name not in index or (index[name].size, index[name].time) != stamp for name, stamp in stamps.items())
    if changed:
        return None, f"built anew, because {changed} of {len(stamps)} sequences have changed or are new."
    return index, ""


def _build(
    path: Path,
    sequences: dict[str, opengait.Sequence],
    stamps: dict[str, tuple[int, int]],
    wide: bool,
    binary: bool,
    jobs: int,
    progress: Progress | None,
) -> dict[str, Entry]:
    """Writes the cache and returns its index."""
    names = list(sequences)
    index: dict[str, Entry] = {}
    # 1 bit a pixel of most, and 44 of 64 columns: about a twelfth of the data set's own files
    require_space(path.parent, sum(size for size, _ in stamps.values()) // 12, str(path))
    try:
        with replacing(path) as file:
            start = file.write(MARK)
            work = [(sequence, wide, binary) for sequence in sequences.values()]
            for i, (frames, largest, content) in run_each(_pack, work, jobs):
                index[names[i]] = Entry(*stamps[names[i]], frames, start, largest)
                start += file.write(content)
                if progress is not None:
                    progress("caching silhouettes", len(index), len(names))
            write_index(index, file)
    except OSError as error:
        raise _unwritable(path, error) from error
    packed = sum(entry.largest is not None for entry in index.values())
    total = sum(entry.frames for entry in index.values())
    _say(path, f"{total} frames in {path.stat().st_size} bytes; {packed} of {len(index)} sequences have 1 bit a pixel.")
    return index


def _pack(sequence: opengait.Sequence, wide: bool, binary: bool) -> tuple[int, int | None, bytes]:
    """(number of frames, largest pixel or None where there are shades, bytes)."""
    clip = sequence.load(wide)
    if binary:
        clip = threshold(clip)
    largest = clip.max()
    if ((clip != 0) & (clip != largest)).any():
        return len(clip), None, clip.tobytes()
    return len(clip), int(largest), np.packbits(clip.reshape(len(clip), -1) != 0, axis=1).tobytes()


@contextmanager
def _alone(folder: Path, path: Path) -> Iterator[None]:
    """Waits until no other process builds in ``folder``."""
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            raise _unwritable(path, error) from error
        yield
    finally:
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> QgaitError:
    return QgaitError(
        f"The silhouettes cannot be cached in {path}: {error.strerror}.", "make room there, or name another folder."
    )


def _say(path: Path, text: str) -> None:
    print(f"{path}: {text}", file=sys.stderr)
