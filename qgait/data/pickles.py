"""Arrays out of pickle files that come from strangers.

A pickle is a program. This reader runs none of it: it decodes the instructions as data (:mod:`pickletools`), accepts
only the few that numpy writes for one plain numeric array, and builds the array itself from the raw bytes. No name in
the file is ever imported or called. Pickle protocols 0 to 5 and the module names of numpy 1 and 2 are understood.
"""

from __future__ import annotations

import math
import pickletools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError

MAX_BYTES = 1 << 30
# an array takes fewer than 100; the bound keeps a file from growing in memory while it is decoded
MAX_INSTRUCTIONS = 1000

_NAMES = {
    "numpy.core.multiarray._reconstruct": "reconstruct",
    "numpy._core.multiarray._reconstruct": "reconstruct",
    "numpy.core.numeric._frombuffer": "frombuffer",
    "numpy._core.numeric._frombuffer": "frombuffer",
    "numpy.ndarray": "ndarray",
    "numpy.dtype": "dtype",
    # how protocols 0 to 2 write bytes
    "_codecs.encode": "encode",
    "builtins.bytes": "bytes",
    "__builtin__.bytes": "bytes",
}
_PUSH = {
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_DTYPES = re.compile(r"b1|[iu][1248]|f[248]")
_FIX = "take the file from its original source, or store the sequence as one plain uint8 array [frames, 64, 64]"


@dataclass
class _Name:
    """A name of the list above that the file mentions."""

    kind: str


@dataclass
class _Call:
    """A call that the file asks for, written down and not made; ``state`` is what it wants set afterwards."""

    kind: str
    args: tuple[Any, ...]
    state: Any = None


class _MalformedError(Exception):
    """The instructions do not add up to one numpy array."""


def load_arrays(path: Path | str) -> NDArray[Any]:
    """Read the one numeric numpy array that the pickle file ``path`` holds.

    Returns a C-contiguous, writable array of the shape and dtype in the file (bool, integer, float; native byte order).
    Raises :class:`QgaitError` for anything else: it names the file and, if the file asks for a function or class that a
    plain array does not need, that name. Object arrays, other containers and files above 1 GiB are refused.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise QgaitError(f"{path} is larger than 1 GiB, which no sequence of silhouettes is.", _FIX)
        data = path.read_bytes()
    except OSError as error:
        raise QgaitError(f"{path} cannot be read: {error.strerror}.", "check the path and its permissions") from error
    try:
        return _array(_decode(data, path))
    except QgaitError:
        raise
    except _MalformedError as error:
        raise QgaitError(f"{path} does not hold one plain numpy array: {error}.", _FIX) from error
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise QgaitError(f"{path} is truncated or not a pickle file ({error}).", "copy or prepare it again") from error


def _decode(data: bytes, path: Path) -> Any:
    """Follow the instructions on a stack of plain values, and return what is left at the end."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    value: Any
    for step, (instruction, value, _) in enumerate(pickletools.genops(data)):
        code = instruction.name
        if step == MAX_INSTRUCTIONS:
            raise _MalformedError(f"it has more than {MAX_INSTRUCTIONS} instructions")
        if code in _PUSH:
            stack.append(_CONSTANTS.get(code, value))
        elif code == "MARK":
            marks.append(len(stack))
        elif code == "TUPLE" or code in _TUPLES:
            start = marks.pop() if code == "TUPLE" else len(stack) - _TUPLES[code]
            if start < 0:
                raise _MalformedError("a tuple lacks items")
            stack[start:] = [tuple(stack[start:])]
        elif code in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[value] = stack[-1]
        elif code == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif code in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif code in ("GLOBAL", "INST"):
            stack.append(_name(value.replace(" ", "."), path))
        elif code == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            if not isinstance(attribute, str) or not isinstance(module, str):
                raise _MalformedError("it asks for a name that is not text")
            stack.append(_name(f"{module}.{attribute}", path))
        elif code in ("REDUCE", "NEWOBJ"):
            args, called = stack.pop(), stack.pop()
            if not isinstance(called, _Name) or not isinstance(args, tuple):
                raise _MalformedError("it calls something that is not a function of numpy")
            stack.append(_Call(called.kind, args))
        elif code == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], _Call) or stack[-1].state is not None:
                raise _MalformedError("it changes something that is not a new array")
            stack[-1].state = state
        elif code == "STOP":
            return stack.pop()
        elif code in ("EMPTY_LIST", "LIST", "EMPTY_DICT", "DICT", "EMPTY_SET"):
            raise _MalformedError(f"it holds a {code.removeprefix('EMPTY_').lower()} of Python objects")
        elif code not in ("PROTO", "FRAME"):
            raise _MalformedError(f"it uses the pickle instruction {code}")
    raise _MalformedError("it has no end")


def _name(name: str, path: Path) -> _Name:
    if name not in _NAMES:
        shown = name if len(name) <= 120 and name.isprintable() else ascii(name[:120])
        raise QgaitError(f"{path} is refused: it asks for {shown}, which no plain numpy array needs.", _FIX)
    return _Name(_NAMES[name])


def _array(root: Any) -> NDArray[Any]:
    if not isinstance(root, _Call):
        kind = "a tuple" if isinstance(root, tuple) else f"a value of type {type(root).__name__}"
        raise _MalformedError(f"it holds {kind}")
    if root.kind == "reconstruct":
        if root.args[:1] != (_Name("ndarray"),) or not isinstance(root.state, tuple) or len(root.state) != 5:
            raise _MalformedError("the array has no contents")
        _, shape, dtype, columns_first, raw = root.state
        return _build(raw, dtype, shape, "F" if columns_first else "C", None)
    if root.kind == "frombuffer" and len(root.args) in (4, 5):
        raw, dtype, shape, order = root.args[:4]
        return _build(raw, dtype, shape, order, root.args[4] if len(root.args) == 5 else None)
    raise _MalformedError("it ends in something else than an array")


def _build(raw: Any, dtype: Any, shape: Any, order: Any, axes: Any) -> NDArray[Any]:
    if not isinstance(shape, tuple) or len(shape) > 8 or not all(type(n) is int and 0 <= n < 1 << 40 for n in shape):
        raise _MalformedError("its shape is not a short tuple of sizes")
    kind, content = _dtype(dtype), _bytes(raw)
    needed = math.prod(shape) * kind.itemsize
    if needed != len(content):
        raise _MalformedError(f"its shape {shape} of {kind.name} needs {needed} bytes and the file has {len(content)}")
    flat = np.frombuffer(content, kind)
    native = kind.newbyteorder("=")
    if order == "K" and axes is not None:  # numpy 2.3 and later, protocol 5, transposed arrays
        if not isinstance(axes, tuple) or not all(type(a) is int for a in axes) or len(axes) != len(shape):
            raise _MalformedError("its axis order is not a permutation")
        return flat.reshape(shape).transpose(axes).astype(native, order="C")
    if order not in ("C", "F"):
        raise _MalformedError("its memory order is neither C nor F")
    return flat.reshape(shape, order=order).astype(native, order="C")


def _dtype(value: Any) -> np.dtype[Any]:
    """Read ``dtype('u1', False, True)`` and then the state ``(3, '|', None, None, None, -1, -1, 0)``."""
    if not isinstance(value, _Call) or value.kind != "dtype" or not value.args:
        raise _MalformedError("it has no number format")
    code, state = _text(value.args[0]), value.state
    if code.startswith("O"):
        raise _MalformedError("it holds Python objects instead of numbers")
    if not _DTYPES.fullmatch(code):
        raise _MalformedError(f"its number format is {code[:40]!a}, not boolean, integer or float")
    order = _text(state[1]) if isinstance(state, tuple) and len(state) > 1 else "="
    if order not in ("<", ">", "|", "="):
        raise _MalformedError("its byte order is unknown")
    return np.dtype(order + code)


def _text(value: Any) -> str:
    if isinstance(value, _Call):
        value = _bytes(value)
    if isinstance(value, bytes | bytearray):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        raise _MalformedError("its number format is not text")
    return value


def _bytes(value: Any) -> bytes:
    """The raw contents: bytes, text with one byte a character (Python 2), or a call that turns such text into bytes."""
    if isinstance(value, _Call) and value.kind == "bytes" and not value.args:
        return b""
    if isinstance(value, _Call) and value.kind == "encode" and len(value.args) == 2:
        if value.args[1] not in ("latin1", "latin-1") or not isinstance(value.args[0], str):
            raise _MalformedError("its contents are in an unknown encoding")
        value = value.args[0]
    if isinstance(value, str):
        return value.encode("latin-1")
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise _MalformedError("its contents are missing")
