"""The file of a cache of silhouettes: clips, and an index that tells where each of them lies.

The file: a mark, the clips, the index as JSON, the index's length as 8 bytes, little endian, and the mark again. Files
with the older mark say neither whose they are nor what the clips' checksums are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.reading import open_regular

MARK = b"QGSILH02"
OLDER = b"QGSILH01"
SUFFIX = ".silhouettes"
TAIL = 8 + len(MARK)
FIX = "remove it, or name another folder."
LARGEST = 1 << 44  # bytes, 16 TiB: no limit, only a regular file


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A clip: the size and time of its data file, its frames, where it begins, its largest pixel if packed, its CRC-32.

    The checksum is that of the bytes in the cache; older caches have none.
    """

    size: int
    time: int
    frames: Annotated[int, Meta(ge=1)]
    start: Annotated[int, Meta(ge=len(MARK))]
    largest: Annotated[int, Meta(ge=0, le=255)] | None
    checksum: Annotated[int, Meta(ge=0, lt=1 << 32)] | None = None

    @property
    def bits(self) -> int:
        """Of a pixel."""
        return 8 if self.largest is None else 1

    def length(self, pixels: int) -> int:
        """Bytes of the clip; ``pixels`` are those of a frame."""
        return self.frames * (pixels * self.bits // 8)


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``root`` is the folder of the data set, ``clips`` are by their path below it."""

    root: str
    clips: dict[str, Entry]


@dataclass(frozen=True)
class CacheFile:
    """A cache that is open: it stays as it is, whatever becomes of its name."""

    clips: dict[str, Entry]
    bytes: NDArray[np.uint8]

    def clip(self, entry: Entry, pixels: int) -> NDArray[np.uint8]:
        """The bytes of a clip."""
        return self.bytes[entry.start : entry.start + entry.length(pixels)]


def open_cache(path: Path, pixels: int) -> CacheFile:
    """The cache at ``path``, whose clips, of ``pixels`` a frame, fill all between the mark and the index.

    ValueError or msgspec's error if the file is damaged; QgaitError if it never was a cache.
    """
    with open_regular(path, LARGEST, FIX) as file:
        index, stop = _read(file, path)
        content = np.asarray(np.memmap(file, np.uint8, "r"))
    place = len(MARK)
    for entry in sorted(index.clips.values(), key=lambda entry: entry.start):
        if entry.start != place:
            raise ValueError("the clips do not lie one behind the other")
        place += entry.length(pixels)
    if place != stop:
        raise ValueError("a clip is not in the file")
    return CacheFile(index.clips, content)


def read_root(path: Path) -> str | None:
    """The folder of the data set, as far as the cache at ``path`` tells; errors as in ``open_cache``."""
    with open_regular(path, LARGEST, FIX) as file:
        return _read(file, path)[0].root or None


def _read(file: BinaryIO, path: Path) -> tuple[Index, int]:
    """(the index, where it begins)."""
    mark = file.read(len(MARK))
    if mark not in (MARK, OLDER):
        raise QgaitError(f"{path} is no cache of silhouettes of this version.", FIX)
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - TAIL))
    tail = file.read()
    length = int.from_bytes(tail[:8], "little")
    if tail[8:] != mark or length > end - TAIL - len(MARK):
        raise ValueError("the end is missing")
    stop = file.seek(end - TAIL - length)
    table = file.read(length)
    if mark == OLDER:
        return Index("", msgspec.json.decode(table, type=dict[str, Entry])), stop
    return msgspec.json.decode(table, type=Index), stop


def write_index(root: str, clips: Mapping[str, Entry], file: BinaryIO) -> None:
    """The end of a cache, behind its clips."""
    table = msgspec.json.encode(Index(root, dict(clips)))
    file.write(table + len(table).to_bytes(8, "little") + MARK)
