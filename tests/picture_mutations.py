"""Pictures that announce what they do not have, and damaged ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from byte_mutations import mutated

FORMATS = (".png", ".jpg", ".bmp", ".tif", ".webp", ".pgm")


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: int, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG that announces ``width`` x ``height`` and has ``rows`` black ones."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes(1 + (width * channels * depth + 7) // 8)
    pack = zlib.compressobj(9)
    data = b"".join(pack.compress(row) for _ in range(rows)) + pack.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def png_data(content: bytes) -> bytes:
    """The first piece of data of a PNG."""
    place = content.index(b"IDAT")
    return content[place + 4 : place + 4 + struct.unpack_from(">I", content, place - 4)[0]]


def encoded(suffix: str, picture: np.ndarray) -> bytes:
    """As OpenCV writes it."""
    done, content = cv2.imencode(suffix, picture)
    assert done
    return content.tobytes()


def small(suffix: str) -> bytes:
    """A picture of 40 x 30."""
    picture = np.zeros((40, 30), np.uint8)
    picture[8:35, 10:20] = 255
    return encoded(suffix, picture)


def resized(suffix: str, width: int, height: int) -> bytes:
    """A picture of 40 x 30 whose header says otherwise."""
    content = small(suffix)
    match suffix:
        case ".png":
            return (
                content[:16]
                + struct.pack(">II", width, height)
                + content[24:29]
                + (struct.pack(">I", zlib.crc32(b"IHDR" + struct.pack(">II", width, height) + content[24:29])))
                + content[33:]
            )
        case ".jpg":
            place = content.index(b"\xff\xc0") + 5
            return content[:place] + struct.pack(">HH", min(height, 65535), min(width, 65535)) + content[place + 4 :]
        case ".bmp":
            return content[:18] + struct.pack("<ii", width, height) + content[26:]
        case ".pgm":
            return content.replace(b"30 40", b"%d %d" % (width, height), 1)
        case ".webp":  # VP8L has 14 bits for each
            bits = (min(width, 1 << 14) - 1) | (min(height, 1 << 14) - 1) << 14
            return content[:21] + struct.pack("<I", bits) + content[25:]
    return _tiff(content, {256: width, 257: height})


def _tiff(content: bytes, values: dict[int, int]) -> bytes:
    """A little-endian TIFF with other values for some tags, which it has."""
    start = struct.unpack_from("<I", content, 4)[0]
    changed = bytearray(content)
    for number in range(struct.unpack_from("<H", content, start)[0]):
        at = start + 2 + 12 * number
        tag = struct.unpack_from("<H", content, at)[0]
        if tag in values:
            struct.pack_into("<HHII", changed, at, tag, 4, 1, values[tag])
    return bytes(changed)


def picture_files(seed: int, count: int) -> Iterator[bytes]:
    """``count`` damaged pictures."""
    files = [small(suffix) for suffix in FORMATS]
    files += [png(30, 40, 40, 16, 6), png(30, 40, 20), png(8000, 8000, 4), resized(".tif", 60_000, 60_000)]
    yield from mutated(files, seed, count)
