"""The user's folder of silhouette caches, which runs share: where it is, what is in it, and how it is emptied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from qgait.data.cache_file import SUFFIX, read_root
from qgait.errors import QgaitError, os_reason
from qgait.files.temporary import clear_abandoned


@dataclass(frozen=True)
class Kept:
    """A cache: its ``name``, the folder of the ``data`` where it tells, its bytes, and when it was used (seconds)."""

    name: str
    path: Path
    data: str | None
    size: int
    used: float


def cache_folder() -> Path | None:
    """``$XDG_CACHE_HOME/qgait/silhouettes``, or below ``~/.cache``; None for users without a home."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named / "qgait" / "silhouettes"
    try:
        return Path.home() / ".cache" / "qgait" / "silhouettes"
    except RuntimeError:
        return None


def kept(folder: Path) -> list[Kept]:
    """The caches in ``folder``, the last used first; none if there is no such folder."""
    found = []
    for path in _caches(folder):
        with suppress(FileNotFoundError):  # another command removed it
            facts = path.stat()
            data: str | None = None
            with suppress(QgaitError, ValueError, msgspec.DecodeError, RecursionError):
                data = read_root(path)
            found.append(Kept(path.name.removesuffix(SUFFIX), path, data, facts.st_size, facts.st_atime))
    return sorted(found, key=lambda each: (-each.used, each.name))


def remove(folder: Path, names: list[str] | None) -> list[Kept]:
    """Removes the caches called ``names``, or all; runs that have one open keep it until they end.

    QgaitError, before anything is removed, for a name that there is not, or that cannot be removed.
    """
    there = {each.name: each for each in kept(folder)}
    for name in names or ():
        if name not in there:
            raise QgaitError(f"There is no silhouette cache called {name}.", "`qgait data cache` lists them.")
    chosen = list(there.values()) if names is None else [there[name] for name in dict.fromkeys(names)]
    for each in chosen:
        try:
            each.path.unlink(missing_ok=True)
        except OSError as error:
            raise QgaitError(f"{each.path} cannot be removed: {os_reason(error)}.", "remove it yourself.") from None
        clear_abandoned(each.path)
    return chosen


def _caches(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted(folder.iterdir()):
            if path.suffix == SUFFIX and not path.name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path
