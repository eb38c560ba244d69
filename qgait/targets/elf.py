"""The symbol table of an ELF object file (System V ABI, little endian, 32 and 64 bit)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

SECTION_SYMBOLS, UNDEFINED_SECTION = 2, 0
WRITTEN, LOADED = 1, 2  # flags of a section


@dataclass(frozen=True)
class Symbol:
    """A name that an object file defines or needs."""

    name: str
    defined: bool
    is_global: bool


def machine(data: bytes) -> int:
    """``e_machine``; ValueError when the data are no little-endian ELF file."""
    if data[:4] != b"\x7fELF" or data[5] != 1:
        raise ValueError("not a little-endian ELF file")
    return struct.unpack_from("<H", data, 18)[0]


def symbols(data: bytes) -> list[Symbol]:
    """Every named symbol of an object file."""
    sections, wide = _sections(data)
    entry = "<IBBHQQ" if wide else "<IIIBBH"
    found = []
    for _, kind, _, _, start, size, link, _, _, step in sections:
        if kind != SECTION_SYMBOLS:
            continue
        names = sections[link][4]
        for at in range(start, start + size, step):
            fields = struct.unpack_from(entry, data, at)
            info, section = (fields[1], fields[3]) if wide else (fields[3], fields[5])
            begin = names + fields[0]
            name = data[begin : data.index(b"\0", begin)].decode()
            if name:
                found.append(Symbol(name, section != UNDEFINED_SECTION, info >> 4 != 0))
    return found


def read_only_bytes(data: bytes) -> int:
    """Code and constants of an object file: what it adds to the read-only memory of a program."""
    return sum(section[5] for section in _sections(data)[0] if section[2] & (LOADED | WRITTEN) == LOADED)


def _sections(data: bytes) -> tuple[list[tuple[int, ...]], bool]:
    """The section headers, and whether they are of the 64-bit form."""
    machine(data)
    wide = data[4] == 2
    table, width, count = _section_table(data, wide)
    header = "<IIQQQQIIQQ" if wide else "<IIIIIIIIII"
    return [struct.unpack_from(header, data, table + i * width) for i in range(count)], wide


def _section_table(data: bytes, wide: bool) -> tuple[int, int, int]:
    """Offset, entry size and number of the section headers."""
    offset = struct.unpack_from("<Q", data, 40)[0] if wide else struct.unpack_from("<I", data, 32)[0]
    width, count = struct.unpack_from("<HH", data, 58 if wide else 46)
    return offset, width, count
