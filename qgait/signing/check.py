"""Checking who signed a file or a bundle, before anything in it is read as what it claims to be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qgait.errors import ParityError
from qgait.reading import open_regular, read_bytes
from qgait.shown import legible
from qgait.signing.contents import FIX, LIMIT, kind_of, names, sha256, signature_of
from qgait.signing.keys import fingerprint, read_public
from qgait.signing.signed_text import LIMIT as SIGNATURE_LIMIT
from qgait.signing.signed_text import SignedText, parse, read_head


@dataclass(frozen=True)
class SignedBy:
    """All ``files`` files of ``path`` are as the key with the fingerprint ``key`` signed them."""

    path: Path
    key: str
    files: int

    def __str__(self) -> str:
        what = "it is" if self.files == 1 else f"all {self.files} files are"
        return f"{self.path} is signed by the key sha256:{self.key}, and {what} unchanged since."

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"signed_by": f"sha256:{self.key}", "files": self.files}


def check_signature(path: Path, key: Path) -> SignedBy:
    """Proves that ``path``, a file or a bundle's folder, is what the owner of the public ``key`` (PEM) signed.

    ParityError says what is not so: unsigned, signed by another key, or which file was changed, added or taken away.
    QgaitError for a key or a path that cannot be used.
    """
    public = read_public(key)
    if kind_of(path) == "file":
        open_regular(path, LIMIT, FIX).close()
    signed = _signed_text(path, fingerprint(public), key)
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signed.signature, signed.text)
    except InvalidSignature:
        raise _changed(path) from None
    if signed.kind != kind_of(path):
        raise ParityError(f"{signature_of(path)} is of a {signed.kind}, and {path} is none.")
    _compare(path, signed.files)
    return SignedBy(path, signed.key, len(signed.files))


def _signed_text(path: Path, key: str, file: Path) -> SignedText:
    """The signature of ``path``, if it claims to be of ``key``."""
    place = signature_of(path)
    if not _exists(place):
        where = "in" if kind_of(path) == "bundle" else "beside"
        raise ParityError(f"{path} is unsigned: there is no {place.name} {where} it.")
    content = read_bytes(place, SIGNATURE_LIMIT, "sign it again with `qgait sign`.")
    head = read_head(content)
    if head is None:
        raise ParityError(f"{place} is damaged, or no signature that this qgait knows.")
    if head[1] != key:
        raise ParityError(f"{path} is signed by another key, sha256:{head[1]}, and not by that of {file}.")
    signed = parse(content)
    if signed is None:
        raise _changed(path)
    return signed


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that no file can have
        return False


def _changed(path: Path) -> ParityError:
    return ParityError(f"{signature_of(path)} was changed since it was made, or is the signature of something else.")


def _compare(path: Path, signed: dict[str, str]) -> None:
    """ParityError that names the first file which is not what ``signed`` says."""
    found = names(path)
    if kind_of(path) == "file" and path.name not in signed:
        raise ParityError(f"{signature_of(path)} is that of {', '.join(signed)}, and not of {legible(path.name)}.")
    for name in sorted(signed):
        if name not in found:
            raise ParityError(f"{path} has lost its file {name} since it was signed.")
    for name in sorted(found):
        if name not in signed:
            raise ParityError(f"{legible(name)} was added to {path} since it was signed.")
        if sha256(found[name]) != signed[name]:
            what = path if kind_of(path) == "file" else f"{name} in {path}"
            raise ParityError(f"{what} was changed since it was signed.")
