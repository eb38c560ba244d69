"""Files of arrays, good and made to break their readers."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from byte_mutations import mutated


def npy(array: np.ndarray, **keywords: Any) -> bytes:
    """As numpy.save writes it."""
    content = io.BytesIO()
    np.save(content, array, **keywords)
    return content.getvalue()


def with_header(header: bytes, data: bytes = b"", version: int = 1) -> bytes:
    """A file with any header."""
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def bomb() -> bytes:
    """An archive of a few kilobytes with an array of a gigabyte."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as entry:
        entry.write(with_header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (268435456,), }\n"))
        for _ in range(8):
            entry.write(bytes(1 << 20))
    return content.getvalue()


def archive(**arrays: np.ndarray) -> bytes:
    """As numpy.savez writes it."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def _header(descr: str = "'|u1'", order: str = "False", shape: str = "(3, 64, 64)", more: str = "") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, {more}}}\n".encode()


DATA = bytes(3 * 64 * 64)
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "nonsense behind PK": b"PK" + b"nonsense" * 20,
    "PK alone": b"PK",
    "a real archive": archive(a=np.zeros((2, 64, 64), np.uint8)),
    "an archive that unpacks to a gigabyte": bomb(),
    "the magic alone": b"\x93NUMPY",
    "version 9": with_header(_header(), DATA)[:6] + b"\x09" + with_header(_header(), DATA)[7:],
    "a shape of 10**12": with_header(_header(shape="(1000000000000,)")),
    "a shape of 10**12 frames": with_header(_header(shape="(1000000000000, 64, 64)"), DATA),
    "a shape beyond any number": with_header(_header(shape=f"({'9' * 100},)"), DATA),
    "a shape of thousands of digits": with_header(_header(shape=f"({'9' * 9000},)"), DATA),
    "a negative shape": with_header(_header(shape="(-3, 64, 64)"), DATA),
    "a shape with a text": with_header(_header(shape="('3', 64, 64)"), DATA),
    "a shape that is a number": with_header(_header(shape="3"), DATA),
    "an empty axis and a huge one": with_header(_header(shape="(0, 1000000000000)")),
    "a hundred axes": with_header(_header(shape=f"({'1, ' * 60})"), b"0"),
    "objects": npy(np.array([None, {}], dtype=object), allow_pickle=True),
    "a structure": npy(np.zeros(3, [("a", "u1"), ("b", "f4")])),
    "texts": npy(np.array(["a", "b"])),
    "dates": npy(np.array(["2020-01-01"], "M8[D]")),
    "complex numbers": npy(np.zeros((3, 64, 64), complex)),
    "void": with_header(_header(descr="'|V1'"), DATA),
    "a format with quotes": with_header(_header(descr="'|u1\\''"), DATA),
    "a call as format": with_header(_header(descr="print(1)"), DATA),
    "brackets without end": with_header(b"{'descr': " + b"(" * 5000, DATA),
    "a sum without end": with_header(b"{'descr': " + b"1+" * 4000 + b"1}", DATA),
    "an escape that is none": with_header(_header(descr="'\\d'"), DATA),
    "a text that does not end": with_header(b"{'descr': '|u1", DATA),
    "NUL in the header": with_header(b"{\x00}", DATA),
    "no dictionary": with_header(b"5", DATA),
    "an empty header": with_header(b"", DATA),
    "a header beyond the file": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
    "a key twice": with_header(_header(more="'descr': '|u1', "), DATA),
    "a key too many": with_header(_header(more="'a': '|u1', "), DATA),
    "data cut off": with_header(_header(), DATA[:-1]),
    "too much data": with_header(_header(), DATA + b"0"),
    "not UTF-8": with_header("{'descr': '|ü1'}".encode("latin-1"), DATA, 3),
}


def good_files() -> list[bytes]:
    """What numpy writes, in several formats."""
    frames = np.random.default_rng(0).integers(0, 2, (2, 64, 44)).astype(np.uint8) * np.uint8(255)
    return [npy(frames), npy(np.asfortranarray(frames)), npy(frames > 0), npy(frames.astype(">f4")), archive(a=frames)]


def array_files(seed: int, count: int) -> Iterator[bytes]:
    """``count`` damaged files, some of them with a header of pieces of headers."""
    rng = random.Random(seed)
    yield from mutated(good_files(), seed, count - count // 4)
    values = ("'|u1'", "'<f8'", "'O'", "True", "False", "None", "()", "(2, 64, 44)", "(1,)", "1", "-1", "1e9", "[", "'")
    for _ in range(count // 4):
        keys = rng.choices(("'descr'", "'fortran_order'", "'shape'", "'x'", "x", "1"), k=rng.randint(0, 5))
        text = ", ".join(f"{key}: {rng.choice(values)}" for key in keys)
        yield with_header(f"{{{text}}}".encode(), bytes(rng.choice((0, 1, 2 * 64 * 44))), rng.choice((1, 2, 3)))
