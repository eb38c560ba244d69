"""Readers of bytes under atheris, which looks for inputs that reach new code: `make fuzz` does this first.

    python tests/fuzzing/coverage_guided.py READER SECONDS SEED

An input is fine when the reader takes it or raises QgaitError; with anything else atheris stops, prints it and keeps it
in the file crash-... in this folder.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["qgait"]):
    from qgait.data import array_files, partition, pickles, picture_sizes
    from qgait.errors import QgaitError
    from qgait.signing import signed_text
    from qgait.structured import parse_json
    from qgait.training import yaml_text

PLACE = Path(tempfile.mkdtemp(prefix="qgait-fuzz-"))


def from_file(read: Callable[[Path], object], name: str) -> Callable[[bytes], object]:
    """A reader of files as one of bytes."""

    def one(content: bytes) -> object:
        (PLACE / name).write_bytes(content)
        return read(PLACE / name)

    return one


def silhouettes() -> bytes:
    """A good .npy file."""
    content = io.BytesIO()
    np.save(content, np.zeros((1, 64, 44), np.uint8))
    return content.getvalue()


READERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "pickles": (from_file(pickles.load_arrays, "x.pkl"), np.zeros((1, 2, 2), np.uint8).dumps()),
    "arrays": (from_file(array_files.load_array, "x.npy"), silhouettes()),
    "partitions": (from_file(partition.read_partition, "x.json"), b'{"TRAIN_SET": ["1"], "TEST_SET": ["2"]}'),
    "settings": (lambda content: yaml_text.parse(content.decode(errors="replace"), "x"), b"a: {b: [1, 2.5e-4, x]}\n"),
    "json": (lambda content: parse_json(content.decode(errors="replace"), "x", "x"), b'{"a": [1, 2.5, null, "x"]}'),
    "pictures": (picture_sizes.announced, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0\0\0\0\0"),
    "signatures": (signed_text.parse, b"# qgait signature 1\n"),
}


def main(name: str, seconds: str, seed: str) -> None:
    """Never returns."""
    reader, good = READERS[name]
    corpus = PLACE / "corpus"
    corpus.mkdir()
    (corpus / "good").write_bytes(good)

    def one(content: bytes) -> None:
        with contextlib.suppress(QgaitError):
            reader(content)

    words = [f"-max_total_time={seconds}", f"-seed={seed}", "-rss_limit_mb=1500", "-timeout=10", "-max_len=20000"]
    atheris.Setup([sys.argv[0], str(corpus), *words], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
