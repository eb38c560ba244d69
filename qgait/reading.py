"""Reading files that somebody names: regular files only, of a bounded size, checked on the open descriptor.

A named pipe would hang its reader and a device could feed it for ever; neither is opened for longer than a look.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from qgait.errors import QgaitError, os_reason

MIB = 1 << 20
KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}
_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EACCES: "it may not be read",
    errno.EPERM: "it may not be read",
    errno.ELOOP: "it is a link that leads back to itself",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENXIO: "it is a socket, not a file",
}


def why_not(error: OSError) -> str:
    """Why something could not be opened, in a clause."""
    return _REASONS.get(error.errno or 0) or os_reason(error)


def open_regular(path: Path, limit: int, fix: str) -> BinaryIO:
    """``path`` open for reading; QgaitError with ``fix`` unless it is a regular file of at most ``limit`` bytes."""
    try:
        # without O_NONBLOCK a named pipe that nobody writes to would block here already
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise QgaitError(f"{path} cannot be read: {why_not(error)}.", fix) from None
    except ValueError:
        raise QgaitError(f"{str(path)!r} cannot be read: no file has a NUL in its name.", fix) from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            kind = KINDS.get(stat.S_IFMT(facts.st_mode), "no regular file")
            raise QgaitError(f"{path} cannot be read: it is {kind}, not a file.", fix)
        if facts.st_size > limit:
            raise QgaitError(
                f"{path} is larger than {size(limit)}, which is more than such a file ever has.",
                fix,
            )
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, limit: int, fix: str) -> bytes:
    """The content of a regular file of at most ``limit`` bytes, also if it grows meanwhile; QgaitError with ``fix``."""
    with open_regular(path, limit, fix) as file:
        try:
            there = min(limit, os.fstat(file.fileno()).st_size)
            content = file.read(there + 1)  # not limit + 1: that much is allocated at once
            if len(content) > there:
                content += file.read(limit + 1 - len(content))
        except OSError as error:
            raise QgaitError(f"{path} cannot be read: {os_reason(error)}.", fix) from None
    if len(content) > limit:
        raise QgaitError(f"{path} grew beyond {size(limit)} while it was read.", fix)
    return content


def read_text(path: Path, limit: int, fix: str) -> str:
    """`read_bytes` as UTF-8; QgaitError with ``fix`` when it is not."""
    try:
        return read_bytes(path, limit, fix).decode("utf-8")
    except UnicodeDecodeError:
        raise QgaitError(f"{path} is not text: it is not UTF-8.", fix) from None


def file_sha256(path: Path, limit: int, fix: str) -> str:
    """Hexadecimal sha256 of a regular file of at most ``limit`` bytes; QgaitError with ``fix``."""
    with open_regular(path, limit, fix) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def size(count: int) -> str:
    """A number of bytes in words, exact or in the largest binary unit that divides it."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count:,} bytes"
