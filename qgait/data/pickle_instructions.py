"""The instructions of a pickle file as data: decoded, never executed. For :mod:`qgait.data.pickles`."""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qgait.data.plain_arrays import MalformedError
from qgait.errors import QgaitError
from qgait.shown import short

FIX = "take the file from its original source, or store the sequence as one plain uint8 array [frames, 64, 64]"
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
    *("NONE", "NEWTRUE", "NEWFALSE", "FLOAT", "BINFLOAT"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass
class Name:
    """A name of the list above that the file mentions, by what it stands for."""

    kind: str


@dataclass
class Call:
    """A call that the file asks for, written down and not made; ``state`` is what it wants set afterwards."""

    kind: str
    args: tuple[Any, ...]
    state: Any = None


@dataclass
class Container:
    """A list, dictionary or set; what is in it is dropped. It is followed only so that names in it are found."""

    kind: str


def decode(data: bytes, path: Path) -> Any:
    """Follow the instructions on a stack of plain values, and return what is left at the end.

    That is a number, a text, bytes, a tuple, or one of the classes above. Raises :class:`QgaitError` for a name that is
    not in the list, :class:`MalformedError` for instructions that no array needs, and ValueError, IndexError or
    KeyError for what is no pickle.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    value: Any
    for step, (instruction, value, _) in enumerate(pickletools.genops(data)):
        code = instruction.name
        if step == MAX_INSTRUCTIONS:
            raise MalformedError(f"it has more than {MAX_INSTRUCTIONS} instructions")
        if code in _PUSH:
            stack.append(_CONSTANTS.get(code, value))
        elif code == "MARK":
            marks.append(len(stack))
        elif code == "TUPLE" or code in _TUPLES:
            start = marks.pop() if code == "TUPLE" else len(stack) - _TUPLES[code]
            if start < 0:
                raise MalformedError("a tuple lacks items")
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
                raise MalformedError("it asks for a name that is not text")
            stack.append(_name(f"{module}.{attribute}", path))
        elif code in ("REDUCE", "NEWOBJ"):
            args, called = stack.pop(), stack.pop()
            if not isinstance(called, Name) or not isinstance(args, tuple):
                raise MalformedError("it calls something that is not a function of numpy")
            stack.append(Call(called.kind, args))
        elif code == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], Call) or stack[-1].state is not None:
                raise MalformedError("it changes something that is not a new array")
            stack[-1].state = state
        elif code == "STOP":
            return stack.pop()
        elif code in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"):
            stack.append(Container(code.removeprefix("EMPTY_").lower()))
        elif code in ("LIST", "DICT", "FROZENSET"):
            stack[marks.pop() :] = [Container(code.lower())]
        elif code in ("APPENDS", "SETITEMS", "ADDITEMS", "POP_MARK"):
            del stack[marks.pop() :]
        elif code in ("APPEND", "POP", "SETITEM"):
            del stack[-2 if code == "SETITEM" else -1 :]
        elif code not in ("PROTO", "FRAME"):
            raise MalformedError(f"it uses the pickle instruction {code}")
    raise MalformedError("it has no end")


def _name(name: str, path: Path) -> Name:
    if name not in _NAMES:
        raise QgaitError(f"{path} is refused: it asks for {short(name, 100)}, which no plain numpy array needs.", FIX)
    return Name(_NAMES[name])
