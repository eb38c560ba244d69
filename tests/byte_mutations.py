"""Files made of good ones by damage and by malice, from a seed: bytes changed, cut, doubled, lengths made huge."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
PIECES = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x93NUMPY",
    b"\x89PNG\r\n\x1a\n",
    b"{}",
    b"[",
    b"(",
    b"'",
    b"\\x",
    b"O",
    b"\n",
)


def mutated(files: Sequence[bytes], seed: int, count: int, head: int = 200) -> Iterator[bytes]:
    """``count`` files, each one of ``files`` with one to three changes, most of them in the first ``head`` bytes."""
    rng = random.Random(seed)
    for _ in range(count):
        content = rng.choice(files)
        for _ in range(rng.choice((1, 1, 2, 3))):
            content = _changed(content, rng, head)
        yield content


def _changed(content: bytes, rng: random.Random, head: int) -> bytes:
    start = rng.randrange(min(head, len(content)) + 1 if rng.random() < 0.7 else len(content) + 1)
    end = min(len(content), start + rng.choice((1, 2, 4, 8, 50)))
    match rng.randrange(8):
        case 0:
            return content[:start] + bytes([rng.randrange(256)]) + content[start + 1 :]
        case 1:
            return (
                content[:start]
                + bytes([content[start] ^ 1 << rng.randrange(8)] if start < len(content) else b"")
                + (content[start + 1 :])
            )
        case 2:
            return content[:start]
        case 3:
            return content[:start] + content[end:]
        case 4:
            return content[:end] + content[start:end] * rng.choice((1, 2, 100)) + content[end:]
        case 5:
            return content[:start] + rng.choice(PIECES) + content[start:]
        case 6:
            width, order = rng.choice("HIQ"), rng.choice("<>")
            number = rng.choice(NUMBERS) & (1 << 8 * struct.calcsize(width)) - 1
            piece = struct.pack(order + width, number)
            return content[:start] + piece + content[start + len(piece) :]
    return content[:start] + rng.randbytes(end - start) + content[end:]
