"""Writing a file in one move: a reader never sees half of it, and a failure leaves what was there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to under a temporary name beside ``path``, moved there at the end; a failure leaves nothing.

    The temporary name begins with a dot and holds the process id: data sets overlook it, and two processes do not meet.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)  # the name that the caller knows
        raise
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Writes ``content`` to ``path`` in one move; OSError leaves nothing behind."""
    with replacing(path) as file:
        file.write(content)
