"""How large a picture says that it is, read from its first bytes before anything is decoded.

A picture of a few bytes can announce any size, and decoders reserve memory for what is announced.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_MARKER = re.compile(rb"\xff([^\xff\0])")
_TIFF_WIDTHS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_TIFF_SIZES = {256: "width", 257: "height", 322: "tile width", 323: "tile height", 278: "rows of a strip"}
_MOST_TAGS = 1_000


class Announced(NamedTuple):
    """``pixels`` are all that a decoder may reserve memory for, tiles included."""

    kind: str
    width: int
    height: int
    pixels: int


def announced(content: bytes) -> Announced | None:
    """What the picture says of itself; None for what is no PNG, JPEG, BMP, TIFF, WebP or PNM, or is cut off."""
    for mark, (kind, read) in _KINDS.items():
        if content.startswith(mark):
            try:
                found = read(content)
            except (struct.error, IndexError):
                return None
            if found is None or min(found) < 1:
                return None
            return Announced(kind, found[0], found[1], max([found[0] * found[1], *found[2:]]))
    return None


def _png(content: bytes) -> tuple[int, ...] | None:
    """None also where a piece announces more bytes than there are: decoders reserve memory for it before they look."""
    place = 8
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        place += 12 + length
        if place > len(content):
            return None
        if kind == b"IEND":
            break
    return struct.unpack_from(">II", content, 16) if content[12:16] == b"IHDR" else None


def _jpeg(content: bytes) -> tuple[int, ...] | None:
    """Of the first frame header; decoders refuse a second one."""
    place = 2
    for _ in range(_MOST_TAGS):
        found = _MARKER.search(content, place)
        if found is None or found[1][0] == _JPEG_SCAN:
            return None
        marker, place = found[1][0], found.end()
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, place + 3)
            return width, height
        if marker != 0x01 and not 0xD0 <= marker <= 0xD9:  # these have no length
            place += struct.unpack_from(">H", content, place)[0]
    return None


def _bmp(content: bytes) -> tuple[int, ...] | None:
    if int.from_bytes(content[14:18], "little") == 12:
        return struct.unpack_from("<HH", content, 18)
    width, height = struct.unpack_from("<ii", content, 18)
    return abs(width), abs(height)


def _webp(content: bytes) -> tuple[int, ...] | None:
    """Of the canvas or the frame, whichever the first chunk has."""
    if content[8:12] != b"WEBP":
        return None
    match content[12:16]:
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", content, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            bits = struct.unpack_from("<I", content, 21)[0]
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    return None


def _pnm(content: bytes) -> tuple[int, ...] | None:
    words = re.sub(rb"#[^\n]*\n", b" ", content[2:4096]).split(maxsplit=2)
    if len(words) < 2 or not all(re.fullmatch(rb"[0-9]{1,9}", word) for word in words[:2]):
        return None
    return int(words[0]), int(words[1])


def _tiff(content: bytes) -> tuple[int, ...] | None:
    """(width, height, pixels of a tile, of a strip): a decoder reserves memory for each of them."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", content, 2)[0] == 43
    place = struct.unpack_from(f"{order}Q" if big else f"{order}I", content, 8 if big else 4)[0]
    count = struct.unpack_from(f"{order}Q" if big else f"{order}H", content, place)[0]
    entry, first, value_at = (20, place + 8, 12) if big else (12, place + 2, 8)
    if count > _MOST_TAGS:
        return None
    found: dict[str, int] = {}
    for number in range(count):
        tag, kind = struct.unpack_from(f"{order}HH", content, first + number * entry)
        if tag in _TIFF_SIZES and kind in _TIFF_WIDTHS:
            at = first + number * entry + value_at
            found[_TIFF_SIZES[tag]] = struct.unpack_from(order + _TIFF_WIDTHS[kind], content, at)[0]
    if "width" not in found or "height" not in found:
        return None
    width, height = found["width"], found["height"]
    tile = found.get("tile width", 1) * found.get("tile height", 1)
    return width, height, max(tile, 1), max(1, width * min(found.get("rows of a strip", 1), height))


_KINDS: dict[bytes, tuple[str, Callable[[bytes], tuple[int, ...] | None]]] = {
    b"\x89PNG\r\n\x1a\n": ("PNG", _png),
    b"\xff\xd8\xff": ("JPEG", _jpeg),
    b"BM": ("BMP", _bmp),
    b"RIFF": ("WebP", _webp),
    b"II*\0": ("TIFF", _tiff),
    b"MM\0*": ("TIFF", _tiff),
    b"II+\0": ("TIFF", _tiff),
    b"MM\0+": ("TIFF", _tiff),
    **{b"P%d" % number: ("PNM", _pnm) for number in range(1, 7)},
}
