"""Arrays out of pickle files that come from strangers.

A pickle is a program. This reader runs none of it: it decodes the instructions as data (:mod:`pickletools`), accepts
only the few that numpy writes for one plain numeric array, and builds the array itself from the raw bytes. No name in
the file is ever imported or called. Pickle protocols 0 to 5 and the module names of numpy 1 and 2 are understood.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.data.pickle_instructions import FIX, Call, Container, Name, decode
from qgait.data.plain_arrays import MAX_AXES, MAX_BYTES, MalformedError, number_format, plain_array
from qgait.errors import QgaitError
from qgait.reading import read_bytes


def load_arrays(path: Path | str) -> NDArray[Any]:
    """Read the one numeric numpy array that the pickle file ``path`` holds.

    Returns a C-contiguous, writable array of the shape and dtype in the file (bool, integer, float; native byte order).
    Raises :class:`QgaitError` for anything else: it names the file and, if the file asks for a function or class that a
    plain array does not need, that name. Object arrays, other containers and files above 1 GiB are refused.
    """
    path = Path(path)
    data = read_bytes(path, MAX_BYTES, FIX)
    try:
        return _array(decode(data, path))
    except MalformedError as error:
        raise QgaitError(f"{path} does not hold one plain numpy array: {error}.", FIX) from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError):  # pickletools, where it runs out of bytes
        raise QgaitError(f"{path} is truncated or not a pickle file.", "copy or prepare it again.") from None


def _array(root: Any) -> NDArray[Any]:
    if not isinstance(root, Call):
        if root is None:
            raise MalformedError("it holds nothing")
        kind = root.kind if isinstance(root, Container) else type(root).__name__.lstrip("_")
        raise MalformedError(f"it holds a value of type {kind}")
    if root.kind == "reconstruct":
        if root.args[:1] != (Name("ndarray"),) or not isinstance(root.state, tuple) or len(root.state) != 5:
            raise MalformedError("the array has no contents")
        _, shape, dtype, columns_first, raw = root.state
        return _build(raw, dtype, shape, "F" if columns_first else "C", None)
    if root.kind == "frombuffer" and len(root.args) in (4, 5):
        raw, dtype, shape, order = root.args[:4]
        return _build(raw, dtype, shape, order, root.args[4] if len(root.args) == 5 else None)
    raise MalformedError("it ends in something else than an array")


def _build(raw: Any, dtype: Any, shape: Any, order: Any, axes: Any) -> NDArray[Any]:
    if not isinstance(shape, tuple) or len(shape) > MAX_AXES or not all(type(n) is int for n in shape):
        raise MalformedError("its shape is not a short tuple of sizes")
    kind, content = _dtype(dtype), _bytes(raw)
    if order == "K" and axes is not None:  # numpy 2.3 and later, protocol 5, transposed arrays
        if not isinstance(axes, tuple) or not all(type(a) is int for a in axes) or len(axes) != len(shape):
            raise MalformedError("its axis order is not a permutation")
        return np.ascontiguousarray(plain_array(content, kind, shape, "C").transpose(axes))
    if order not in ("C", "F"):
        raise MalformedError("its memory order is neither C nor F")
    return plain_array(content, kind, shape, order)


def _dtype(value: Any) -> np.dtype[Any]:
    """Read ``dtype('u1', False, True)`` and then the state ``(3, '|', None, None, None, -1, -1, 0)``."""
    if not isinstance(value, Call) or value.kind != "dtype" or not value.args:
        raise MalformedError("it has no number format")
    code, state = _text(value.args[0]), value.state
    order = _text(state[1]) if isinstance(state, tuple) and len(state) > 1 else "="
    return number_format(order + code)


def _text(value: Any) -> str:
    if isinstance(value, Call):
        value = _bytes(value)
    if isinstance(value, bytes | bytearray):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        raise MalformedError("its number format is not text")
    return value


def _bytes(value: Any) -> bytes:
    """The raw contents: bytes, text with one byte a character (Python 2), or a call that turns such text into bytes."""
    if isinstance(value, Call) and value.kind == "bytes" and not value.args:
        return b""
    if isinstance(value, Call) and value.kind == "encode" and len(value.args) == 2:
        if value.args[1] not in ("latin1", "latin-1") or not isinstance(value.args[0], str):
            raise MalformedError("its contents are in an unknown encoding")
        value = value.args[0]
    if isinstance(value, str):
        return value.encode("latin-1")
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise MalformedError("its contents are missing")
