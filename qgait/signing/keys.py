"""Ed25519 keys in PEM files, as OpenSSL writes and reads them: private ones in PKCS #8, public ones as SPKI."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from qgait.errors import QgaitError, os_reason
from qgait.reading import read_bytes
from qgait.shown import legible

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LIMIT = 1 << 16
MAKE = "make a pair of keys with `qgait keygen --out NAME`."


def read_private(path: Path) -> Ed25519PrivateKey:
    """The key that signs; QgaitError when ``path`` holds another one, one under a passphrase, or none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    fix = f"give the private key; {MAKE}"
    content = read_bytes(path, LIMIT, fix)
    if b"-----BEGIN PUBLIC KEY-----" in content and b"PRIVATE KEY-----" not in content:
        raise QgaitError(f"{path} is a public key, and only a private one signs.", fix)
    if b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in content or b"Proc-Type: 4,ENCRYPTED" in content:
        raise QgaitError(
            f"{path} is under a passphrase, and qgait asks for none.",
            f"take it off into a place that only you can read: openssl pkey -in {path.name} -out plain.pem.",
        )
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise QgaitError(f"{path} is not the PEM file of a private key.", fix) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise QgaitError(f"{path} is a key of another algorithm; signatures are Ed25519 alone.", MAKE)
    return key


def read_public(path: Path) -> Ed25519PublicKey:
    """The key that signatures are checked with; QgaitError when ``path`` holds another one, a private one, or none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    fix = "give the public key of who signed, such as NAME.public.pem."
    content = read_bytes(path, LIMIT, fix)
    if b"PRIVATE KEY-----" in content:
        raise QgaitError(f"{path} is a private key, which belongs only where things are signed.", fix)
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise QgaitError(f"{path} is not the PEM file of a public key.", fix) from None
    if not isinstance(key, Ed25519PublicKey):
        raise QgaitError(f"{path} is a key of another algorithm; signatures are Ed25519 alone.", fix)
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    """Hexadecimal sha256 of the key in DER: `openssl pkey -pubin -in PUBLIC -outform DER | sha256sum`."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def make_pair(private: Path, public: Path) -> str:
    """Writes a new key to two files and returns its fingerprint; only the owner may read ``private``.

    QgaitError when either file exists or cannot be written: a key is never replaced.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    _write_new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    try:
        _write_new(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    except BaseException:
        private.unlink()
        raise
    return fingerprint(key.public_key())


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        # not by way of a temporary name: a private key must never have been readable, and nothing is replaced
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise QgaitError(f"{path} exists, and a key is never replaced.", "choose another name.") from None
    except ValueError:
        raise QgaitError(f"{legible(str(path))} cannot be written: it has a NUL.", "choose another name.") from None
    except OSError as error:
        raise QgaitError(
            f"{path} cannot be written: {os_reason(error)}.", "choose a folder that you may write."
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except BaseException:
        path.unlink()
        raise
