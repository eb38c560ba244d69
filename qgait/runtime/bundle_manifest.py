"""manifest.json, which makes a folder a bundle: written with a checksum of every file, read only if it is whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from qgait.errors import QgaitError

FORMAT, VERSION = "qgait-bundle", 4  # the library of 3 did not say what it was built with
MANIFEST = "manifest.json"
AGAIN = "compile it again (qgait compile)."


def file_sha256(file: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sign(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Writes manifest.json with the sha256 and size of every other file in ``folder`` and of the manifest itself."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != folder / MANIFEST)
    listed = {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
        for file in files
    }
    signed = {**manifest, "files": listed}
    signed["checksum"] = checksum(signed)
    (folder / MANIFEST).write_text(_text(signed))
    return signed


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle folder, checked against its own checksum; the other files are not looked at."""
    file = folder / MANIFEST
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise QgaitError(
            f"{folder} is not a bundle: it has no {MANIFEST}.", "name a folder that qgait compile wrote."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise QgaitError(f"{file} cannot be read: {error}.", AGAIN) from None
    try:
        manifest = json.loads(text)
    except ValueError:
        raise QgaitError(f"{MANIFEST} in the bundle {folder} was changed: it is not JSON.", AGAIN) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise QgaitError(
            f"{folder} is not a bundle: {MANIFEST} is of another program.", "name a folder that qgait compile wrote."
        )
    if manifest.get("version") != VERSION:
        raise QgaitError(
            f"The bundle {folder} has format version {manifest.get('version')}, and this qgait reads {VERSION}.", AGAIN
        )
    if manifest.get("checksum") != checksum(manifest) or text != _text(manifest):
        raise QgaitError(f"{MANIFEST} in the bundle {folder} was changed: its checksum does not fit.", AGAIN)
    if not isinstance(manifest.get("files"), dict) or not all(map(_inside, manifest["files"])):
        raise QgaitError(f"{MANIFEST} in the bundle {folder} lists files outside the bundle.", AGAIN)
    return manifest


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=1) + "\n"


def checksum(manifest: dict[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(_text(rest).encode()).hexdigest()
