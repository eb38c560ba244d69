"""Temporary folders for work, in the folder that TMPDIR names: checked for space, cleared away after a kill."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qgait.errors import QgaitError, os_reason
from qgait.files.space import MIB, NEARLY_FULL, free_space, mib
from qgait.files.temporary import clear_abandoned, new_folder, remove

NAME = "qgait"
LEAST = 4 * MIB
FIX = "free some space there, or set TMPDIR to a folder with more."
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def work_folder(needed: int = LEAST) -> Iterator[Path]:
    """An empty folder that goes away at the end; QgaitError that names TMPDIR when it has no ``needed`` bytes."""
    top = require_work_space(needed)
    clear_abandoned(top / NAME)
    try:
        folder, descriptor = new_folder(top / NAME)
    except OSError as error:
        raise QgaitError(
            f"The folder for temporary files, {top} (TMPDIR), cannot be used: {os_reason(error)}.", FIX
        ) from None
    work = folder / "work"  # not the locked one: a bundle that is written here locks the folder around it
    try:
        work.mkdir()
        yield work
    except OSError as error:
        if error.errno in FULL and _ours(error, folder):
            raise _full(top, needed, free_space(top)) from error
        raise
    finally:
        remove(folder)
        os.close(descriptor)


def require_work_space(needed: int = LEAST) -> Path:
    """The folder for temporary files; QgaitError when fewer than ``needed`` bytes are free there."""
    try:
        top = Path(tempfile.gettempdir()).resolve()
    except OSError:
        raise QgaitError("There is no folder for temporary files that can be written to.", FIX) from None
    free = free_space(top)
    if free is not None and free < needed:
        raise _full(top, needed, free)
    return top


def _ours(error: OSError, folder: Path) -> bool:
    """Whether ``folder`` was full; a write to an open file does not tell its name."""
    if error.filename is not None:
        return Path(os.fsdecode(error.filename)).is_relative_to(folder)
    free = free_space(folder)
    return free is not None and free < NEARLY_FULL


def _full(top: Path, needed: int, free: int | None) -> QgaitError:
    there = "" if free is None else f": {free // MIB} MiB are free, and about {mib(needed)} MiB are needed"
    return QgaitError(f"The folder for temporary files, {top} (TMPDIR), is full{there}.", FIX)
