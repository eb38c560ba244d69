"""``.npy`` files that come from strangers: the header is read as text, not as Python, and believed where it is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from qgait.data.plain_arrays import MAX_BYTES, MalformedError, number_format, plain_array
from qgait.errors import QgaitError
from qgait.reading import read_bytes

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
_ENTRY = re.compile(
    r"\s*'(?:(?P<descr>descr)'\s*:\s*'(?P<code>[^'\\]{1,40})'"
    r"|(?P<order>fortran_order)'\s*:\s*(?P<fortran>True|False)"
    r"|(?P<shape>shape)'\s*:\s*\((?P<sizes>[0-9L,\s]{0,200})\))\s*(?:,\s*|(?=\}))"
)
_SIZES = re.compile(r"\s*|(?:\s*[0-9]{1,15}L?\s*,)+(?:\s*[0-9]{1,15}L?)?\s*")
_FIX = "save one array of numbers, uint8 [frames, 64, 64], with numpy.save."


def load_array(path: Path) -> NDArray[Any]:
    """The array of numbers in a ``.npy`` file, any version, in order C and native byte order.

    QgaitError, naming the file, for anything else: archives, objects, structures, texts, a header that does not fit
    the file, files above 1 GiB. Nothing is allocated that the file does not hold.
    """
    content = read_bytes(path, MAX_BYTES, _FIX)
    try:
        return _array(content)
    except MalformedError as error:
        raise QgaitError(f"{path} is not one numpy array of numbers: {error}.", _FIX) from None


def _array(content: bytes) -> NDArray[Any]:
    if content.startswith(b"PK"):
        raise MalformedError("it is an archive, as numpy.savez writes")
    if not content.startswith(_MAGIC):
        raise MalformedError("it does not begin as a .npy file does" if content else "it is empty")
    version = content[6:7]
    if version not in (b"\x01", b"\x02", b"\x03"):
        raise MalformedError("it is of no version of the format that there is")
    start = 10 if version == b"\x01" else 12
    length = int.from_bytes(content[8:start], "little")
    if len(content) < start or length > min(_LONGEST_HEADER, len(content) - start):
        raise MalformedError("its header is cut off")
    shape, code, fortran = _header(content[start : start + length].decode("latin-1"))
    return plain_array(memoryview(content)[start + length :], number_format(code), shape, "F" if fortran else "C")


def _header(text: str) -> tuple[tuple[int, ...], str, bool]:
    """(shape, number format, whether the first axis varies fastest) of ``{'descr': '|u1', ...}``."""
    text = text.strip()
    found: dict[str, str] = {}
    place = 1
    while entry := _ENTRY.match(text, place):
        name = entry["descr"] or entry["order"] or entry["shape"]
        if name in found:
            raise MalformedError(f"its header says {name} twice")
        found[name] = entry["code"] or entry["fortran"] or entry["sizes"] or ""
        place = entry.end()
    if not text.startswith("{") or text[place:] != "}" or len(found) != 3 or not _SIZES.fullmatch(found["shape"]):
        raise MalformedError("its header is not that of plain numbers")
    sizes = tuple(int(size.strip().rstrip("L")) for size in found["shape"].split(",") if size.strip())
    return sizes, found["descr"], found["fortran_order"] == "True"
