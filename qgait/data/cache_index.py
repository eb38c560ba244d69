"""The index of a cache of silhouettes: where in its file each clip lies.

The file: a mark, the clips, the index as JSON, the index's length as 8 bytes, little endian, and the mark again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import BinaryIO

from qgait.data.silhouettes import HEIGHT, WIDTH
from qgait.errors import QgaitError
from qgait.reading import open_regular

MARK = b"QGSILH01"
TAIL = 8 + len(MARK)
LARGEST = 1 << 44  # bytes, 16 TiB: no limit, only a regular file


@dataclass(frozen=True)
class Entry:
    """A clip: the size and time of its data file, its frames, where it begins, and its largest pixel if packed."""

    size: int
    time: int
    frames: int
    start: int
    largest: int | None

    @property
    def bits(self) -> int:
        """Of a pixel."""
        return 8 if self.largest is None else 1


def read_index(path: Path) -> dict[str, Entry]:
    """ValueError, TypeError or RecursionError if the file is damaged; QgaitError if it never was a cache."""
    with open_regular(path, LARGEST, "remove it, or name another folder.") as file:
        if file.read(len(MARK)) != MARK:
            raise QgaitError(
                f"{path} is no cache of silhouettes of this version.", "remove it, or name another folder."
            )
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - TAIL))
        tail = file.read()
        length = int.from_bytes(tail[:8], "little")
        if tail[8:] != MARK or length > end - TAIL - len(MARK):
            raise ValueError("the end is missing")
        file.seek(end - TAIL - length)
        content = json.loads(file.read(length))
    if not isinstance(content, dict):
        raise ValueError("the index is no object")
    return {name: _checked(Entry(*facts), end) for name, facts in content.items()}


def _checked(entry: Entry, end: int) -> Entry:
    """ValueError unless the entry is one of a file of ``end`` bytes."""
    counts = (entry.size, entry.time, entry.frames, entry.start)
    whole = all(type(count) is int and count >= 0 for count in counts)
    known = entry.largest is None or (type(entry.largest) is int and 0 <= entry.largest <= 255)
    if not whole or not known or entry.start + entry.frames * (HEIGHT * WIDTH * entry.bits // 8) > end:
        raise ValueError("an entry of the index points nowhere")
    return entry


def write_index(index: Mapping[str, Entry], file: BinaryIO) -> None:
    """The end of a cache, behind its clips."""
    table = json.dumps({name: astuple(entry) for name, entry in index.items()}).encode()
    file.write(table + len(table).to_bytes(8, "little") + MARK)
