"""Writing a file in one move: a reader never sees half of it, and a failure leaves what was there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from qgait.files.places import check_file
from qgait.files.temporary import clear_abandoned, new_file


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to under a temporary name beside ``path``, moved there at the end; a failure leaves nothing.

    Where ``path`` links to a file, that one is replaced and the link stays. What is replaced keeps its permissions.
    QgaitError for what ``check_file`` refuses, OSError that names ``path`` when writing fails.
    """
    place = check_file(path)
    clear_abandoned(place)
    temporary: Path | None = None
    try:
        temporary, descriptor = new_file(place)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            with suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(place.stat().st_mode))
            os.fsync(file.fileno())
            temporary.replace(place)  # while it is locked
        sync_folder(place.parent)
    except OSError as error:
        if error.filename is None or temporary is None or error.filename == str(temporary):
            error.filename, error.filename2 = str(path), None  # the name that the caller knows
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Writes ``content`` to ``path`` in one move; OSError leaves nothing behind."""
    with replacing(path) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Brings names in ``folder`` to the disk, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
