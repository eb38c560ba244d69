"""Folders of the form ROOT/subject/type/view/files, which OpenGait and all of its data sets use."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from qgait.errors import QgaitError

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm")


def sequence_folders(
    root: Path, suffixes: Collection[str], left_out: list[str]
) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield (subject, type, view, file names with one of ``suffixes``) for every view folder below ``root``, sorted.

    Hidden files and folders are ignored. ``suffixes`` are lower case with the dot. View folders without such a file are
    yielded with an empty list. What cannot be used is told to ``left_out``: its path below ``root`` and why. QgaitError
    for a folder that cannot be read.
    """
    found: list[str] = []
    for subject in folders_in(root, found):
        for kind in folders_in(root / subject, found):
            for view in folders_in(root / subject / kind, found):
                yield subject, kind, view, files_in(root / subject / kind / view, suffixes, found)
    left_out += (text.removeprefix(f"{root}/") for text in found)


def folders_in(folder: Path, left_out: list[str]) -> list[str]:
    """Names of the folders in ``folder``, sorted, without hidden ones and those that are ``left_out``."""
    return sorted(e.name for e in _entries(folder) if _is(e, os.DirEntry.is_dir, left_out))


def files_in(folder: Path, suffixes: Collection[str], left_out: list[str]) -> list[str]:
    """The files in ``folder`` that end in one of ``suffixes``, sorted, without hidden and ``left_out``."""
    named = [e for e in _entries(folder) if os.path.splitext(e.name)[1].lower() in suffixes]  # noqa: PTH122, 100 times faster
    files = [e.name for e in named if _is(e, os.DirEntry.is_file, left_out)]
    if len(files) < len(named):
        told = {text.partition(":")[0] for text in left_out}
        others = (e for e in named if e.name not in files and e.path not in told)
        left_out += (f"{e.path}: it is {'a folder' if e.is_dir() else 'no file'}" for e in others)
    return sorted(files)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        reason = (error.strerror or "it is no folder").lower()
        raise QgaitError(f"The folder {folder} cannot be read: {reason}.", "check its permissions.") from None


def _is(entry: os.DirEntry[str], kind: Callable[[os.DirEntry[str]], bool], left_out: list[str]) -> bool:
    """Whether an entry is of a ``kind``; what is, but cannot be used, is ``left_out``."""
    try:
        if not kind(entry):
            return False
    except OSError:
        left_out.append(f"{entry.path}: it is a link that leads nowhere")
        return False
    if entry.name.isascii():
        return True
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        left_out.append(f"{os.fsencode(entry.path).decode(errors='backslashreplace')}: its name is not UTF-8")
        return False
    return True


def check_folder(root: Path, what: str) -> None:
    """Refuse a ``root`` that is not there or is a file."""
    if not os.path.isdir(root):  # noqa: PTH112 - Path.is_dir raises for some names
        state = "is no folder" if os.path.lexists(root) else "does not exist"
        raise QgaitError(f"The folder of {what}, {root}, {state}.", "give the folder that contains the subjects")


def wrong_layout(root: Path, expected: str, suffixes: Collection[str]) -> QgaitError:
    """The error for a folder in which nothing was found: what was expected and what is there instead."""
    left_out: list[str] = []
    top = folders_in(root, left_out) + files_in(root, suffixes, left_out)
    shown = [name if len(name) <= 20 else f"{name[:20]}..." for name in top[:5]]
    found = [", ".join(shown) + (", ..." if len(top) > 5 else "") if top else "nothing"]
    pictures = False
    for depth, files in enumerate(_files_by_depth(root)):
        wanted = [f for f in files if f.suffix.lower() in suffixes]
        pictures = pictures or any(f.suffix.lower() in IMAGES for f in files)
        if wanted:
            example = wanted[0].relative_to(root)
            found.append(f"{wanted[0].suffix} files {depth} folders deep, such as {example}")
    fix = "give the folder whose entries are the subjects"
    if pictures and not set(suffixes) & set(IMAGES):
        fix += "; if these pictures are silhouettes, run `qgait data prepare` on them first"
    return QgaitError(f"{root} has no sequences: expected {root}/{expected}, found {'; '.join(found)}.", fix)


def _files_by_depth(root: Path) -> list[list[Path]]:
    """Files 0 to 4 folders below ``root``, without hidden ones; it stops looking after 2,000 folders."""
    levels: list[list[Path]] = [[] for _ in range(5)]
    for seen, (folder, names, files) in enumerate(os.walk(root)):
        depth = len(Path(folder).relative_to(root).parts)
        names[:] = sorted(n for n in names if not n.startswith(".")) if depth < 4 else []
        levels[depth] += [Path(folder, f) for f in sorted(files) if not f.startswith(".")]
        if seen == 2000:
            break
    return levels
