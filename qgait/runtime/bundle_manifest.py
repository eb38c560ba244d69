"""manifest.json, which makes a folder a bundle: written with a checksum of every file, read only if it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from qgait.errors import QgaitError
from qgait.reading import file_sha256, open_regular, read_text
from qgait.runtime.manifest_checks import contradiction
from qgait.runtime.manifest_schema import FORMAT, VERSION, Manifest
from qgait.shown import short
from qgait.signing.contents import SIGNATURE
from qgait.structured import check, parse_json

MANIFEST = "manifest.json"
LIMIT = 16 << 20  # bytes of a manifest
AGAIN = "compile it again (qgait compile)."


def sign(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Writes manifest.json with the sha256 and size of every other file in ``folder`` and of the manifest itself."""
    files = sorted(
        file for file in folder.rglob("*") if file.is_file() and file not in (folder / MANIFEST, folder / SIGNATURE)
    )
    listed = {}
    for file in files:
        digest = file_sha256(file, sys.maxsize, AGAIN)
        listed[file.relative_to(folder).as_posix()] = {"bytes": file.stat().st_size, "sha256": digest}
    signed = {**manifest, "files": listed}
    signed["checksum"] = checksum(signed)
    (folder / MANIFEST).write_text(_text(signed))
    return signed


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle folder, checked against its own checksum and the schema; no other file is looked at."""
    file = folder / MANIFEST
    if not os.path.lexists(file):
        raise QgaitError(f"{folder} is not a bundle: it has no {MANIFEST}.", "name a folder that qgait compile wrote.")
    text = read_text(file, LIMIT, AGAIN)
    changed = f"{MANIFEST} in the bundle {folder} was changed"
    manifest = parse_json(text, changed, AGAIN)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise QgaitError(
            f"{folder} is not a bundle: {MANIFEST} is of another program.", "name a folder that qgait compile wrote."
        )
    if manifest.get("version") != VERSION:
        version = short(json.dumps(manifest.get("version")), 40)
        raise QgaitError(f"The bundle {folder} has format version {version}, and this qgait reads {VERSION}.", AGAIN)
    if manifest.get("checksum") != checksum(manifest) or text != _text(manifest):
        raise QgaitError(f"{changed}: its checksum does not fit.", AGAIN)
    facts = check(manifest, Manifest, changed, AGAIN)
    outside = [name for name in facts.files if not _inside(name)]
    if outside:
        raise QgaitError(f"{changed}: it lists {short(outside[0], 60)}, a file outside the bundle.", AGAIN)
    wrong = contradiction(facts)
    if wrong:
        raise QgaitError(f"{changed}: {short(wrong, 150)}.", AGAIN)
    return manifest


def refuse_strangers(folder: Path, manifest: dict[str, Any], fix: str) -> None:
    """QgaitError with ``fix`` when there is a file in ``folder`` that is not of the bundle."""
    inside = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir()}
    strangers = inside - {MANIFEST, SIGNATURE, *manifest["files"]}
    if strangers:
        raise QgaitError(f"The bundle {folder} also holds {min(strangers)}, which qgait did not write.", fix)


def require_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """QgaitError that names the file of the bundle which is missing, no regular file, or not what was written."""
    for name, facts in manifest["files"].items():
        file = folder / name
        if not os.path.lexists(file):
            raise QgaitError(f"The bundle {folder} has lost its file {short(name)}.", AGAIN)
        with open_regular(file, sys.maxsize, AGAIN) as stream:
            same_size = os.fstat(stream.fileno()).st_size == facts["bytes"]
            found = hashlib.file_digest(stream, "sha256") if same_size else None  # type: ignore[arg-type]
            if found is None or found.hexdigest() != facts["sha256"]:
                what = "sha256" if same_size else "size"
                raise QgaitError(f"{short(name)} in the bundle {folder} was changed: its {what} is another one.", AGAIN)


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.as_posix() == name


def _text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=1) + "\n"


def checksum(manifest: dict[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(_text(rest).encode()).hexdigest()
