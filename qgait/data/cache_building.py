"""Making a cache of silhouettes: in one move, by one process at a time, from what an older one has and what is new."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qgait.data import opengait
from qgait.data.cache_file import MARK, CacheFile, Entry, write_index
from qgait.data.processes import run_each
from qgait.data.selection import spread
from qgait.data.silhouettes import threshold
from qgait.errors import QgaitError
from qgait.files import check_file, replacing, require_space
from qgait.progress import Progress

SAMPLE = 8  # sequences that tell how large a cache will be

Stamps = dict[str, tuple[int, int]]  # (size, time) of every sequence's file, by its path below the data set


class NoPlaceError(QgaitError):
    """A cache cannot be written where it should be; somewhere else it may be."""


@dataclass(frozen=True)
class Form:
    """What a cache keeps: ``pixels`` a frame, of 64 columns if ``wide``, thresholded if ``binary``."""

    pixels: int
    wide: bool
    binary: bool


def stamp_of(path: Path) -> tuple[int, int]:
    """(size, time) of a sequence's file; QgaitError if it is gone."""
    try:
        facts = path.stat()
    except OSError as error:
        raise QgaitError(f"{path} cannot be read: {error.strerror}.", "open the data set again.") from error
    return facts.st_size, facts.st_mtime_ns


def is_same(entry: Entry | None, stamp: tuple[int, int]) -> bool:
    """Whether ``entry`` is of the file as it is now."""
    return entry is not None and (entry.size, entry.time) == stamp


def is_whole(entry: Entry, stored: NDArray[np.uint8]) -> bool:
    """Whether a clip's bytes are what was written, as far as the cache tells."""
    return entry.checksum is None or zlib.crc32(stored.data) == entry.checksum


def build(
    path: Path,
    root: Path,
    sequences: dict[str, opengait.Sequence],
    stamps: Stamps,
    older: CacheFile | None,
    form: Form,
    jobs: int,
    progress: Progress | None,
) -> None:
    """Writes the cache; what ``older`` has of the data set as it is now, and whole, is taken from there."""
    index: dict[str, Entry] = {}
    kept = {} if older is None else _kept(older, root, form)
    names = [name for name in sequences if name not in kept]
    new = [sequences[name] for name in names]
    work = [(sequence, form.wide, form.binary) for sequence in new]
    needed = _share(new, form) * sum(stamps[name][0] for name in names) if new else 0
    _require_place(path, int(needed) + sum(stored.nbytes for _, stored in kept.values()))
    try:
        with replacing(path) as file:
            start = file.write(MARK)
            for name, (entry, stored) in kept.items():
                index[name] = Entry(entry.size, entry.time, entry.frames, start, entry.largest, zlib.crc32(stored.data))
                start += file.write(stored.data)
            for i, (frames, largest, content) in run_each(_pack, work, jobs):
                index[names[i]] = Entry(*stamps[names[i]], frames, start, largest, zlib.crc32(content))
                start += file.write(content)
                if progress is not None:
                    progress("caching silhouettes", len(index) - len(kept), len(names))
            write_index(os.fsencode(root.resolve()).decode(errors="backslashreplace"), index, file)
    except OSError as error:
        raise _unwritable(path, error) from error
    packed = sum(entry.largest is not None for entry in index.values())
    total = sum(entry.frames for entry in index.values())
    say(path, f"{total} frames in {path.stat().st_size} bytes; {packed} of {len(index)} sequences have 1 bit a pixel.")


def _kept(older: CacheFile, root: Path, form: Form) -> dict[str, tuple[Entry, NDArray[np.uint8]]]:
    """What need not be made again: (entry, bytes)."""
    kept = {}
    for name, entry in older.clips.items():
        stored = older.clip(entry, form.pixels)
        try:
            if is_same(entry, stamp_of(root / name)) and is_whole(entry, stored):
                kept[name] = entry, stored
        except QgaitError:
            pass  # the data set has it no longer
    return kept


def _share(sequences: Sequence[opengait.Sequence], form: Form) -> float:
    """Bytes in a cache for each byte of the data set's own files, of a few of them."""
    some = spread(sequences, SAMPLE)
    return sum(len(_pack(s, form.wide, form.binary)[2]) for s in some) / max(sum(stamp_of(s.path)[0] for s in some), 1)


def _require_place(path: Path, needed: int) -> None:
    try:
        check_file(path)
        require_space(path.parent, needed, str(path))
    except QgaitError as error:
        raise NoPlaceError(error.problem, error.fix) from None


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
def alone(path: Path) -> Iterator[None]:
    """Waits until no other process builds in the folder of ``path``."""
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.parent, os.O_RDONLY)
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


def _unwritable(path: Path, error: OSError) -> NoPlaceError:
    return NoPlaceError(
        f"The silhouettes cannot be cached in {path}: {error.strerror}.", "make room there, or name another folder."
    )


def say(path: Path, text: str) -> None:
    """A remark on the cache ``path``."""
    print(f"{path}: {text}", file=sys.stderr)
