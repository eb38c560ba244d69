"""Keys in PEM files: those of OpenSSL and of the cryptography package, and a sentence for everything else."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from signed_bundles import pair

from qgait.errors import QgaitError
from qgait.signing.keys import fingerprint, make_pair, read_private, read_public

PKCS8 = (Encoding.PEM, PrivateFormat.PKCS8)
SPKI = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def openssl(*words: str | Path) -> bytes:
    return subprocess.run(["openssl", *words], check=True, capture_output=True).stdout


def test_a_pair_belongs_together_and_only_its_owner_reads_the_private_half(tmp_path: Path) -> None:
    private, public = tmp_path / "a.private.pem", tmp_path / "a.public.pem"
    key = make_pair(private, public)
    assert fingerprint(read_public(public)) == fingerprint(read_private(private).public_key()) == key
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert openssl("pkey", "-in", private, "-pubout") == public.read_bytes()


def test_keys_of_openssl_are_read(tmp_path: Path) -> None:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    openssl("genpkey", "-algorithm", "ed25519", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    assert fingerprint(read_private(private).public_key()) == fingerprint(read_public(public))


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    private, public = tmp_path / "a.private.pem", tmp_path / "a.public.pem"
    public.write_text("mine")
    with pytest.raises(QgaitError, match=r"a.public.pem exists, and a key is never replaced"):
        make_pair(private, public)
    assert not private.exists(), "no half of a pair stays"
    assert public.read_text() == "mine"
    make_pair(private, tmp_path / "b.pem")
    before = private.read_bytes()
    with pytest.raises(QgaitError, match=r"a.private.pem exists"):
        make_pair(private, tmp_path / "c.pem")
    assert private.read_bytes() == before and not (tmp_path / "c.pem").exists()


@pytest.mark.parametrize("place", ["gone/a", "/proc/a", "a\0b", "a" * 300])
def test_where_no_key_can_be_written_is_said(place: str, tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="cannot be written"):
        make_pair(tmp_path / place, tmp_path / "public.pem")


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


OTHERS: dict[str, Callable[[], object]] = {
    "rsa": rsa_key,
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed448": ed448.Ed448PrivateKey.generate,
    "x25519": x25519.X25519PrivateKey.generate,
}


@pytest.mark.parametrize("algorithm", OTHERS)
def test_another_algorithm_is_refused(algorithm: str, tmp_path: Path) -> None:
    key = OTHERS[algorithm]()
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(key.private_bytes(*PKCS8, NoEncryption()))  # type: ignore[attr-defined]
    public.write_bytes(key.public_key().public_bytes(*SPKI))  # type: ignore[attr-defined]
    with pytest.raises(QgaitError, match=r"private.pem is a key of another algorithm; signatures are Ed25519 alone"):
        read_private(private)
    with pytest.raises(QgaitError, match=r"public.pem is a key of another algorithm; signatures are Ed25519 alone"):
        read_public(public)


NONSENSE = {
    "nothing": b"",
    "binary": bytes(range(256)),
    "words": b"this is my key",
    "hollow": b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
    "garbled": b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA????\n-----END PUBLIC KEY-----\n",
    "short": b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n",
    "certificate": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
}


@pytest.mark.parametrize("name", NONSENSE)
def test_what_is_no_key_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(NONSENSE[name])
    with pytest.raises(QgaitError, match=r"key.pem is not the PEM file of a public key"):
        read_public(path)
    with pytest.raises(QgaitError, match=r"key.pem is (not the PEM file of a private|a public) key"):
        read_private(path)


@pytest.mark.parametrize("path", ["/dev/zero", "gone.pem", "."])
def test_what_is_no_file_is_refused(path: str) -> None:
    for read in (read_private, read_public):
        with pytest.raises(QgaitError, match="cannot be read"):
            read(Path(path))


def test_the_halves_are_not_mixed_up() -> None:
    private, public = pair()
    with pytest.raises(QgaitError, match="is a private key, which belongs only where things are signed"):
        read_public(private)
    with pytest.raises(QgaitError, match="is a public key, and only a private one signs"):
        read_private(public)


def test_a_passphrase_is_refused_with_the_way_around(tmp_path: Path) -> None:
    path = tmp_path / "locked.pem"
    key = Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(*PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(QgaitError, match="is under a passphrase, and qgait asks for none") as caught:
        read_private(path)
    assert "openssl pkey -in locked.pem" in caught.value.fix
