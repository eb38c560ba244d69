"""The index of a cache of silhouettes: where in its file each clip lies.

The file: a mark, the clips, the index as JSON, the index's length as 8 bytes, little endian, and the mark again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta

from qgait.errors import QgaitError
from qgait.reading import open_regular

MARK = b"QGSILH01"
TAIL = 8 + len(MARK)
FIX = "remove it, or name another folder."
LARGEST = 1 << 44  # bytes, 16 TiB: no limit, only a regular file


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A clip: the size and time of its data file, its frames, where it begins, and its largest pixel if packed."""

    size: int
    time: int
    frames: Annotated[int, Meta(ge=1)]
    start: Annotated[int, Meta(ge=len(MARK))]
    largest: Annotated[int, Meta(ge=0, le=255)] | None

    @property
    def bits(self) -> int:
        """Of a pixel."""
        return 8 if self.largest is None else 1


def read_index(path: Path, pixels: int) -> dict[str, Entry]:
    """ValueError or msgspec's error if the file is damaged; QgaitError if it never was a cache.

    The clips, of ``pixels`` a frame, fill all between the mark and the index.
    """
    with open_regular(path, LARGEST, FIX) as file:
        if file.read(len(MARK)) != MARK:
            raise QgaitError(f"{path} is no cache of silhouettes of this version.", FIX)
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - TAIL))
        tail = file.read()
        length = int.from_bytes(tail[:8], "little")
        if tail[8:] != MARK or length > end - TAIL - len(MARK):
            raise ValueError("the end is missing")
        stop = file.seek(end - TAIL - length)
        index = msgspec.json.decode(file.read(length), type=dict[str, Entry])
    place = len(MARK)
    for entry in sorted(index.values(), key=lambda entry: entry.start):
        if entry.start != place:
            raise ValueError("the clips do not lie one behind the other")
        place += entry.frames * (pixels * entry.bits // 8)
    if place != stop:
        raise ValueError("a clip is not in the file")
    return index


def write_index(index: Mapping[str, Entry], file: BinaryIO) -> None:
    """The end of a cache, behind its clips."""
    table = msgspec.json.encode(index)
    file.write(table + len(table).to_bytes(8, "little") + MARK)
