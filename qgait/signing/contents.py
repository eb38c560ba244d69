"""What a signature covers: a file under its name, or everything in a bundle's folder but the signature itself."""

from __future__ import annotations

import os
from pathlib import Path

from qgait.errors import ParityError
from qgait.reading import file_sha256
from qgait.shown import legible
from qgait.signing.signed_text import Kind

SIGNATURE = "signature"  # the file in a bundle; beside any other file FILE it is FILE.sig
LIMIT = 16 << 30
FIX = "give a model, an ONNX file or a bundle."


def kind_of(path: Path) -> Kind:
    """What a signature of ``path`` is called; whether there is such a file, reading it tells."""
    try:
        return "bundle" if path.is_dir() else "file"
    except OSError:  # a name that no file can have
        return "file"


def signature_of(path: Path) -> Path:
    """Where the signature of ``path`` lies."""
    return path / SIGNATURE if kind_of(path) == "bundle" else path.with_name(f"{path.name}.sig")


def names(path: Path) -> dict[str, Path]:
    """Every file that a signature of ``path`` has to cover, by the name that it has there.

    ParityError for something in a bundle that is neither a file nor a folder: it could be another one tomorrow.
    """
    if kind_of(path) == "file":
        return {path.name: path}
    found: dict[str, Path] = {}
    folders = [path]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                name = Path(entry.path).relative_to(path).as_posix()
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    raise ParityError(f"{legible(name)} in {path} is a link or a device, which no signature covers.")
                elif name != SIGNATURE:
                    found[name] = Path(entry.path)
    return found


def sha256(file: Path) -> str:
    """Hexadecimal; QgaitError unless it is a regular file."""
    return file_sha256(file, LIMIT, FIX)
