"""Where something may be written, looked at before any work is done: QgaitError names what stands in the way."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from qgait.errors import QgaitError, os_reason
from qgait.files.space import free_space, require_space
from qgait.files.temporary import new_file

LEAST = 1 << 20  # bytes that must be free, however small the output
LONGEST_NAME, LONGEST_PATH = 255, 4095  # bytes
OTHER = "choose another place."
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
}
_REASONS = {
    errno.ELOOP: "it is a link that leads back to itself",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EACCES: "a folder of its path may not be entered",
}


def check_file(path: Path) -> Path:
    """The place of the output file ``path``: itself, or the file that it links to.

    QgaitError for a device, pipe, socket or folder, for a folder that is missing, read-only or full, and for names that
    no file can have.
    """
    _check_name(path)
    if path.name in ("", ".."):
        raise QgaitError(f"{path} is a folder.", "name the file to write.")
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    facts = _facts(path, path)
    if facts is not None and stat.S_ISDIR(facts.st_mode):
        raise QgaitError(f"{path} is a folder.", "name the file to write.")
    if facts is not None and not stat.S_ISREG(facts.st_mode):
        raise QgaitError(f"{path} cannot be written: it is {_kind(facts)}, not a file.", "name a file.")
    folder = place.parent
    if _facts(folder, path) is None or not folder.is_dir():
        raise QgaitError(f"{path} cannot be written: there is no folder {folder}.", "make it, or check the path.")
    _check_writable(folder, path)
    return place


def check_folder(path: Path) -> None:
    """QgaitError unless ``path`` is a folder that can be written to, or can be made."""
    _check_name(path)
    check_utf_8(path)
    facts = _facts(path, path)
    if facts is None:
        if path.is_symlink():
            raise QgaitError(f"{path} cannot be written: it is a link to nothing.", "remove it, or name a folder.")
        _check_writable(_nearest(path), path)
    elif stat.S_ISDIR(facts.st_mode):
        _check_writable(path, path)
    else:
        raise QgaitError(f"{path} is {_kind(facts)}, not a folder.", "name a folder, or one that is yet to be made.")


def check_new_folder(path: Path) -> Path:
    """The place, absolute and without links, of a folder that is made or replaced as a whole; QgaitError where not."""
    _check_name(path)
    if path.name in ("", ".."):
        raise QgaitError(f"{path} cannot be replaced as a whole.", "give the folder a name, as in ../bundle.")
    check_folder(path)
    try:
        parent = path.parent.resolve()
    except OSError as error:
        raise _unusable(path, error) from None
    _check_writable(_nearest(parent / path.name), path)  # what is replaced needs to be writable around it
    return parent / path.name


def check_utf_8(path: Path) -> None:
    """QgaitError for a name that programs which are told of it may not take; data sets' own names may be so."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise QgaitError(f"{str(path)!a} cannot be written: it is not UTF-8.", "choose a name in UTF-8.") from None


def _check_name(path: Path) -> None:
    text = str(path)
    if "\0" in text:
        raise QgaitError(f"{text!a} cannot be written: no file has a NUL in its name.", OTHER)
    if len(os.fsencode(path)) > LONGEST_PATH or any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
        raise QgaitError(
            f"{text[:40]}... cannot be written: a name has at most {LONGEST_NAME} bytes, a path {LONGEST_PATH}.",
            "choose a shorter name.",
        )


def _facts(path: Path, named: Path) -> os.stat_result | None:
    """What is at ``path``, behind its links; None if there is nothing. ``named`` is the output as it was typed."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(named, error) from None


def _unusable(named: Path, error: OSError) -> QgaitError:
    reason = _REASONS.get(error.errno or 0) or os_reason(error)
    return QgaitError(f"{named} cannot be written: {reason}.", OTHER)


def _nearest(path: Path) -> Path:
    """The folder in which the first missing part of ``path`` would be made."""
    for folder in path.parents:
        facts = _facts(folder, path)
        if facts is not None:
            if not stat.S_ISDIR(facts.st_mode):
                raise QgaitError(f"{path} cannot be written: {folder} is {_kind(facts)}, not a folder.", OTHER)
            return folder
    return Path()


def _check_writable(folder: Path, named: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise QgaitError(f"{named} cannot be written: {folder} is write-protected.", "choose another folder.")
    require_space(folder, LEAST, str(named))
    if free_space(folder) is None:  # as in /proc, where nothing can be made although all may write
        try:
            probe, descriptor = new_file(folder / "qgait")
        except OSError as error:
            raise _unusable(named, error) from None
        os.close(descriptor)
        probe.unlink()


def _kind(facts: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(facts.st_mode), "something else")
