"""Folders of the form ROOT/subject/type/view/files, which OpenGait and all of its data sets use."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from qgait.errors import QgaitError

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm")


def sequence_folders(root: Path, suffixes: Collection[str]) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield (subject, type, view, file names with one of ``suffixes``) for every view folder below ``root``, sorted.

    Hidden files and folders are ignored. ``suffixes`` are lower case with the dot. View folders without such a file are
    yielded with an empty list.
    """
    for subject in folders_in(root):
        for kind in folders_in(root / subject):
            for view in folders_in(root / subject / kind):
                yield subject, kind, view, files_in(root / subject / kind / view, suffixes)


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in ``folder``, sorted, without hidden ones."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and _is(e.is_dir))


def files_in(folder: Path, suffixes: Collection[str]) -> list[str]:
    """Names of the files in ``folder`` that end in one of ``suffixes``, sorted, without hidden ones."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if not e.name.startswith(".") and _is(e.is_file)]
    return sorted(name for name in names if os.path.splitext(name)[1].lower() in suffixes)  # noqa: PTH122, 100 times faster


def _is(kind: Callable[[], bool]) -> bool:
    """What ``kind`` says; a link that leads back to itself is neither a file nor a folder."""
    try:
        return kind()
    except OSError:
        return False


def check_folder(root: Path, what: str) -> None:
    """Refuse a ``root`` that is not there or is a file."""
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise QgaitError(f"The folder of {what}, {root}, {state}.", "give the folder that contains the subjects")


def wrong_layout(root: Path, expected: str, suffixes: Collection[str]) -> QgaitError:
    """The error for a folder in which nothing was found: what was expected and what is there instead."""
    top = folders_in(root) + files_in(root, suffixes)
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
