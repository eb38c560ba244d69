"""Arrays from the parts that files of arrays have: a number format, a shape, an order, and the bytes themselves."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.shown import short

MAX_BYTES = 1 << 30
MAX_AXES = 8
_FORMAT = re.compile(r"([<>|=]?)(b1|[iu][1248]|f[248])")


class MalformedError(Exception):
    """What a file has does not add up to one array of numbers."""


def number_format(code: str) -> np.dtype[Any]:
    """The format that numpy calls ``code``, as ``<f4``: booleans, integers and floats alone."""
    found = _FORMAT.fullmatch(code)
    if not found:
        if code.lstrip("<>|=").startswith("O"):
            raise MalformedError("it holds Python objects instead of numbers")
        raise MalformedError(f"its number format is {short(code, 40)!a}, not boolean, integer or float")
    return np.dtype((found[1] or "=") + found[2])


def plain_array(content: Any, kind: np.dtype[Any], shape: tuple[int, ...], order: str) -> NDArray[Any]:
    """The array of ``shape`` whose bytes ``content`` are all of, in ``order`` C or F; native, writable, in order C."""
    if len(shape) > MAX_AXES or min(shape, default=0) < 0 or math.prod(size or 1 for size in shape) >= 1 << 40:
        raise MalformedError("its shape is not a short tuple of sizes")
    needed = math.prod(shape) * kind.itemsize
    if needed != len(content):
        raise MalformedError(f"its shape {shape} of {kind.name} needs {needed} bytes and the file has {len(content)}")
    flat = np.frombuffer(content, kind)
    return flat.reshape(shape, order="F" if order == "F" else "C").astype(kind.newbyteorder("="), order="C")
