"""Replacing a folder as a whole: it is built beside its place and exchanged with the older one."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qgait.files.one_file import sync_folder
from qgait.files.places import check_new_folder
from qgait.files.temporary import clear_abandoned, held, left_behind, new_folder, new_name, remove

LONGEST_WAIT = 10  # seconds; moves take milliseconds
AT_FDCWD, RENAME_EXCHANGE = -100, 2
CANNOT = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)  # this kernel or file system does not exchange


@contextmanager
def replacing_folder(path: Path, check: Callable[[], None]) -> Iterator[Path]:
    """An empty folder beside ``path`` that takes its place when the block ends well and goes away otherwise.

    ``check`` raises when what is at ``path`` must stay; it is asked before the block and once more behind it. The older
    folder is there until the new one is: where the system cannot exchange two folders it is put aside for a moment,
    and after a kill in that moment the next call puts it back. Of several writers the last one wins. A process whose
    current folder is replaced goes on in the new one. QgaitError for what ``check_new_folder`` refuses, OSError that
    names ``path`` when writing fails.
    """
    place = check_new_folder(path)
    partial: Path | None = None
    descriptor: int | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(place.parent):
            _restore(place)
            clear_abandoned(place)
            check()
        partial, descriptor = new_folder(place)
        yield partial
        _sync(partial)
        with _alone_in(place.parent), _staying_inside(place):
            check()
            _put(partial, place)
            sync_folder(place.parent)
            clear_abandoned(place)
    except OSError as error:
        if error.filename is None or (partial is not None and str(error.filename).startswith(str(partial))):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        if partial is not None:
            remove(partial)  # the older folder, or half a new one
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Others that replace something in ``folder`` wait, but not for ever: whoever has it may be at something else."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    end = time.monotonic() + LONGEST_WAIT
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno != errno.EWOULDBLOCK or time.monotonic() > end:
                    break  # a file system without locks, or one that is held: each move is whole by itself
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _put(partial: Path, place: Path) -> None:
    """``partial`` at ``place``; what was there is at ``partial``, or put aside."""
    if not os.path.lexists(place):
        partial.replace(place)
    elif not _exchanged(partial, place):
        try:
            place.replace(new_name(place, "old"))
            partial.replace(place)
        except BaseException:
            _restore(place)
            raise


def _exchanged(one: Path, other: Path) -> bool:
    """Swaps two names in one step; False where that is not possible."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _restore(place: Path) -> None:
    """Puts back the folder that a writer had put aside when it was killed."""
    if os.path.lexists(place):
        return
    for left in left_behind(place, "old"):
        with held(left) as alone:
            if alone:
                with suppress(OSError):
                    left.rename(place)
                return


def _sync(folder: Path) -> None:
    """Every file of ``folder`` to the disk: a name that points to an empty file after a power cut is no bundle."""
    for at, _, files in os.walk(folder):
        for name in files:
            descriptor = os.open(Path(at, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(at))


@contextmanager
def _staying_inside(place: Path) -> Iterator[None]:
    """A process whose current folder is ``place`` or in it would be in one that is removed."""
    try:
        inside = Path.cwd().is_relative_to(place)
    except OSError:
        inside = False
    yield
    if inside:
        os.chdir(place)
