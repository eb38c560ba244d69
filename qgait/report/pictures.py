"""Silhouettes as PNG, small enough to sit inside a page."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from qgait.data import opengait

FRAMES, OUT_OF = 8, 25  # a second, most of a gait cycle
VIEWS = 4
CONDITIONS = 4


class Strip(TypedDict):
    """Frames of one walk side by side; ``png`` is base64, black on transparent."""

    condition: str
    subject: str
    view: str
    caption: str
    width: int
    height: int
    png: str


def png(alpha: NDArray[np.uint8]) -> bytes:
    """A PNG (ISO/IEC 15948) of a black picture whose opacity is ``alpha``, uint8 [H, W]."""
    height, width = alpha.shape
    pixels = np.zeros((height, 1 + 2 * width), np.uint8)  # filter type 0, then (grey, alpha) pairs
    pixels[:, 2::2] = alpha
    header = struct.pack(">IIBBBBB", width, height, 8, 4, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(pixels.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def strip(sequence: opengait.Sequence) -> Strip:
    """Eight frames of a walk's first second."""
    clip = sequence.load()
    clip = clip[np.linspace(0, min(len(clip), OUT_OF) - 1, FRAMES).round().astype(int)]
    picture = np.concatenate(list(clip), axis=1)
    return {
        "condition": sequence.type.split("-")[0],
        "subject": sequence.subject,
        "view": sequence.view,
        "caption": f"{int(sequence.view)}°" if re.fullmatch(r"\d{3}", sequence.view) else sequence.view,
        "width": picture.shape[1],
        "height": picture.shape[0],
        "png": base64.b64encode(png(picture)).decode("ascii"),
    }


def strips(sequences: Sequence[opengait.Sequence]) -> list[Strip]:
    """The first person's first walk of every condition (a few) from a few views, spread over those there are."""
    subject = min(s.subject for s in sequences)
    first: dict[tuple[str, str], opengait.Sequence] = {}
    for sequence in sorted(s for s in sequences if s.subject == subject):
        first.setdefault((sequence.type.split("-")[0], sequence.view), sequence)
    views = sorted({view for _, view in first})
    chosen = {views[i] for i in np.linspace(0, len(views) - 1, VIEWS).round().astype(int)}
    order = {condition: i for i, condition in enumerate(("nm", "bg", "cl"))}
    keys = sorted(first, key=lambda key: (order.get(key[0], len(order)), key))
    shown = list(dict.fromkeys(condition for condition, _ in keys))[:CONDITIONS]
    return [strip(first[key]) for key in keys if key[0] in shown and key[1] in chosen]
