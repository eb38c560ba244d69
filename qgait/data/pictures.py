"""Pictures in shades of gray, of a bounded size, without a word from the libraries that decode them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qgait.data.opencv import opencv
from qgait.data.picture_sizes import announced
from qgait.errors import QgaitError
from qgait.reading import MIB, read_bytes

MAX_BYTES = 256 * MIB
MAX_PIXELS = 1 << 25  # a frame of 8K video, 7680 x 4320, has fewer
FIX = "write it again as PNG, or remove it"


def read_image(path: Path) -> NDArray[np.uint8]:
    """The picture ``path`` in shades of gray, uint8 [h, w].

    QgaitError for what is no PNG, JPEG, BMP, TIFF, WebP or PNM, is damaged, or has more than 32 Mi pixels: its size is
    looked up before it is decoded.
    """
    cv2 = opencv("Reading pictures", "images")
    content = read_bytes(path, MAX_BYTES, FIX)
    size = announced(content)
    if size is None:
        raise QgaitError(f"{path} is not a readable picture.", FIX)
    if size.pixels > MAX_PIXELS:
        problem = f"{path} has {size.width:,} x {size.height:,} pixels; more than {MAX_PIXELS:,} are no silhouette."
        raise QgaitError(problem, "scale it down, or remove it")
    picture = None
    with _silence(), suppress(cv2.error):
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise QgaitError(f"{path} is not a readable picture.", FIX)
    return np.asarray(picture, np.uint8)


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing is written to the standard error stream: libpng and libjpeg write to its descriptor themselves."""
    try:
        saved = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nothing)
