"""Temporary names beside an output, locked as long as their writer lives, so that the next one clears dead ones away.

The lock (flock) ends with its process, however that ends; a process id would be somebody else's one day.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

Kind = Literal["partial", "old"]  # not yet whole; put aside for a moment
LONGEST = 200  # bytes of an output's name that a temporary name repeats: a file system takes 255


def new_name(place: Path, kind: Kind = "partial") -> Path:
    """A free name beside ``place``; it begins with a dot, so data sets overlook it."""
    return place.with_name(f"{_start(place)}.{kind}-{secrets.token_hex(8)}")


def new_file(place: Path) -> tuple[Path, int]:
    """(name, locked descriptor) of an empty file beside ``place``."""
    while True:
        name = new_name(place)
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        if _locked_at(descriptor, name):
            return name, descriptor


def new_folder(place: Path) -> tuple[Path, int]:
    """(name, locked descriptor) of an empty folder beside ``place``."""
    while True:
        name = new_name(place)
        name.mkdir()
        with suppress(FileNotFoundError):  # cleared away by another run, as it has no lock for a moment
            descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if _locked_at(descriptor, name):
                return name, descriptor


def clear_abandoned(place: Path) -> None:
    """Removes what killed writers of ``place`` left beside it, and nothing else."""
    for left in left_behind(place, "(?:partial|old)"):
        with held(left) as alone:
            if alone:
                remove(left)


def left_behind(place: Path, kinds: str) -> list[Path]:
    """Temporary files and folders of this user's beside ``place``, also those in use; ``kinds`` is a pattern."""
    pattern = re.compile(rf"{re.escape(_start(place))}\.{kinds}-[0-9a-f]{{16}}")
    found = []
    with suppress(OSError), os.scandir(place.parent) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name):
                facts = entry.stat(follow_symlinks=False)
                ours = facts.st_uid == os.geteuid()
                if ours and (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
                    found.append(Path(entry.path))
    return found


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether ``path`` is there and nobody else's: then no other process takes it as long as this lasts."""
    descriptor = None
    alone = False
    try:
        with suppress(OSError):  # a file system without locks: whoever uses it may be alive
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = _is(descriptor, path)
        yield alone
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove(path: Path) -> None:
    """Removes a file or a folder with all that is in it; what cannot be removed stays for the next run."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _start(place: Path) -> str:
    name = os.fsencode(place.name)
    if len(name) <= LONGEST:
        return f".{place.name}"
    return f".{hashlib.sha256(name).hexdigest()}"


def _locked_at(descriptor: int, path: Path) -> bool:
    """Locks what was just made; False if another run cleared it away before."""
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is(descriptor, path):
            return True
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return False


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
