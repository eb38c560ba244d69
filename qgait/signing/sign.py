"""Signing a file or a bundle's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qgait.errors import ParityError, QgaitError, os_reason
from qgait.files import replace_file
from qgait.signing.contents import kind_of, names, sha256, signature_of
from qgait.signing.keys import fingerprint
from qgait.signing.signed_text import signature_line, text_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True)
class Signature:
    """A signature that was written to ``path``: over ``files`` files, by the key with this fingerprint."""

    path: Path
    key: str
    files: int


def sign(path: Path, key: Ed25519PrivateKey) -> Signature:
    """Writes the signature of ``path`` beside it, or into the folder of a bundle; an older one is replaced.

    The same content and key always give the same bytes. QgaitError for what is no file, or has a name that cannot be
    listed.
    """
    try:
        files = {name: sha256(file) for name, file in names(path).items()}
    except ParityError as error:
        raise QgaitError(str(error), "put the file itself in its place.") from None
    signer = fingerprint(key.public_key())
    text = text_of(kind_of(path), signer, files)
    try:
        replace_file(signature_of(path), text + signature_line(key.sign(text)))
    except OSError as error:
        raise QgaitError(
            f"{signature_of(path)} cannot be written: {os_reason(error)}.", "sign a copy elsewhere."
        ) from None
    return Signature(signature_of(path), signer, len(files))
