"""Signatures hold for exactly what was signed; every change is said in a sentence that names the file."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from compiled_bundles import flipped
from example_graphs import gaitset_graph
from signed_bundles import pair, signed_copy

from qgait.errors import ParityError, QgaitError
from qgait.export.onnx.writer import write
from qgait.models import shipped
from qgait.runtime.bundle import Bundle
from qgait.signing.check import check_signature
from qgait.signing.contents import signature_of
from qgait.signing.keys import fingerprint, read_private, read_public
from qgait.signing.sign import sign

PRIVATE, PUBLIC = pair()
MODEL = Path(shipped.__file__).with_name("gaitset_walkers.safetensors")


def wrong(path: Path, key: Path = PUBLIC) -> str:
    """What the check says; it must say something."""
    with pytest.raises(ParityError) as caught:
        check_signature(path, key)
    said = str(caught.value)
    assert said.endswith(".") and len(said) < 400 and "Error" not in said
    return said


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed bundle that nobody changes."""
    return signed_copy(tmp_path_factory.mktemp("signed") / "b")


@pytest.fixture
def signed(sound: Path, tmp_path: Path) -> Path:
    """A signed bundle to change."""
    return Path(shutil.copytree(sound, tmp_path / "b"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A signed model to change."""
    out = Path(shutil.copy(MODEL, tmp_path / "model.safetensors"))
    sign(out, read_private(PRIVATE))
    return out


def test_what_was_signed_is_signed_by_its_key(signed: Path, model: Path, tmp_path: Path) -> None:
    onnx = tmp_path / "model.onnx"
    write(gaitset_graph(channels=(2, 3, 4)), onnx)
    assert sign(onnx, read_private(PRIVATE)).path == tmp_path / "model.onnx.sig"
    key = fingerprint(read_public(PUBLIC))
    for path, files in ((signed, 10), (model, 1), (onnx, 1)):
        found = check_signature(path, PUBLIC)
        assert (found.path, found.key, found.files) == (path, key, files)
        assert f"{path} is signed by the key sha256:{key}" in str(found)


def test_a_signature_has_the_same_bytes_every_time(signed: Path) -> None:
    before = signature_of(signed).read_bytes()
    sign(signed, read_private(PRIVATE))
    assert signature_of(signed).read_bytes() == before
    assert Bundle.open(signed).model == "tiny", "a signature does not make it another bundle"


def test_unsigned_and_foreign_is_said(signed: Path, model: Path) -> None:
    other = fingerprint(read_public(pair("stranger")[1]))
    for path in (signed, model):
        mine = fingerprint(read_public(PUBLIC))
        assert f"{path} is signed by another key, sha256:{mine}" in wrong(path, pair("stranger")[1])
        sign(path, read_private(pair("stranger")[0]))
        assert f"signed by another key, sha256:{other}, and not by that of {PUBLIC}" in wrong(path)
        signature_of(path).unlink()
        assert f"{path} is unsigned: there is no" in wrong(path)


def every_file(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_a_changed_byte_of_any_file_is_found(signed: Path) -> None:
    files = every_file(signed)
    assert len(files) == 11
    for name in files:
        before = (signed / name).read_bytes()
        for place in (0, len(before) // 2, len(before) - 1):
            (signed / name).write_bytes(flipped(place, 1)(before))
            assert name in wrong(signed)
        for content in (before[:-1], before + b"\0", b""):
            (signed / name).write_bytes(content)
            assert name in wrong(signed)
        (signed / name).write_bytes(before)
    check_signature(signed, PUBLIC)


def test_every_byte_of_a_signature_counts(model: Path) -> None:
    signature = signature_of(model)
    before = signature.read_bytes()
    for place in range(len(before)):
        for bit in (1, 2, 32, 128):
            signature.write_bytes(flipped(place, bit)(before))
            wrong(model)
        signature.write_bytes(before[:place])
        wrong(model)
        signature.write_bytes(before[:place] + before[place + 1 :])
        wrong(model)
    for more in (b"\n", b" ", before):
        signature.write_bytes(before + more)
        wrong(model)
        signature.write_bytes(more + before)
        wrong(model)
    signature.write_bytes(before.replace(b"\n", b"\r\n"))
    wrong(model)


def test_another_spelling_of_the_same_signature_is_refused(model: Path) -> None:
    """The last letter of base64 has four bits that mean nothing."""
    signature = signature_of(model)
    before = signature.read_bytes()
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet.index(before[-4])
    assert last % 16 == 0
    for rest in range(1, 16):
        signature.write_bytes(before[:-4] + alphabet[last + rest : last + rest + 1] + before[-3:])
        assert "was changed since it was made" in wrong(model)


def remove(folder: Path) -> None:
    (folder / "gait.h").unlink()


def rename(folder: Path) -> None:
    (folder / "gait.h").rename(folder / "gate.h")


def swap(folder: Path) -> None:
    first, second = folder / "selftest/clip0.codes", folder / "selftest/clip1.codes"
    first.rename(folder / "x")
    second.rename(first)
    (folder / "x").rename(second)


def link(folder: Path) -> None:
    (folder / "gait.h").rename(folder.parent / "gait.h")
    (folder / "gait.h").symlink_to(folder.parent / "gait.h")


def link_of_a_folder(folder: Path) -> None:
    (folder / "selftest").rename(folder.parent / "selftest")
    (folder / "selftest").symlink_to(folder.parent / "selftest")


def listing(folder: Path) -> None:
    """The sha256 of the changed file is put into the signature."""
    signature = folder / "signature"
    (folder / "gait.h").write_text("another header")
    found = subprocess.run(["sha256sum", "gait.h"], cwd=folder, capture_output=True, text=True, check=True).stdout
    lines = signature.read_text().splitlines(keepends=True)
    signature.write_text("".join(found if line.endswith("  gait.h\n") else line for line in lines))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "evil.so").write_text("x"), "evil.so was added to"),
        (lambda folder: (folder / "selftest" / "clip2.codes").write_text("x"), "selftest/clip2.codes was added to"),
        (lambda folder: (folder / "selftest" / "signature").write_text("x"), "selftest/signature was added to"),
        (lambda folder: (folder / "a\n\x1b[2Jb").write_text("x"), "a??[2Jb was added to"),
        (remove, "has lost its file gait.h"),
        (rename, "has lost its file gait.h"),
        (swap, "selftest/clip0.codes in"),
        (link, "gait.h in"),
        (link_of_a_folder, "selftest in"),
        (listing, "signature was changed since it was made"),
        (lambda folder: (folder / "signature").write_text("hello\n"), "signature is damaged, or no signature that"),
        (lambda folder: (folder / "signature").write_bytes(b"\xff\0" * 99), "signature is damaged, or no signature"),
    ],
)
def test_a_changed_bundle_is_told(signed: Path, change: Callable[[Path], object], said: str) -> None:
    change(signed)
    assert said in wrong(signed)


def test_the_signature_of_another_bundle_is_refused(signed: Path, tmp_path: Path) -> None:
    other = signed_copy(tmp_path / "other", "arm")
    shutil.copy(other / "signature", signed / "signature")
    assert "gait-run in" in wrong(signed) or "gait.h in" in wrong(signed)


def test_the_signature_of_another_kind_is_refused(signed: Path, model: Path, tmp_path: Path) -> None:
    shutil.copy(signature_of(model), signed / "signature")
    assert "signature is of a file, and" in wrong(signed)
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(model, alone / model.name)
    shutil.copy(signature_of(model), alone / "signature")
    assert "signature is of a file, and" in wrong(alone)
    shutil.copy(signed_copy(tmp_path / "other") / "signature", signature_of(model))
    assert "model.safetensors.sig is of a bundle, and" in wrong(model)


def test_a_version_to_come_is_no_valid_signature(model: Path) -> None:
    signature = signature_of(model)
    signature.write_text(signature.read_text().replace("signature 1:", "signature 2:"))
    assert "no signature that this qgait knows" in wrong(model)


def test_a_file_under_another_name_is_told(model: Path) -> None:
    other = model.rename(model.with_name("other.safetensors"))
    model.with_name("model.safetensors.sig").rename(signature_of(other))
    assert "other.safetensors.sig is that of model.safetensors, and not of other.safetensors" in wrong(other)


def test_a_changed_model_is_told(model: Path) -> None:
    model.write_bytes(flipped(5000, 1)(model.read_bytes()))
    assert wrong(model) == f"{model} was changed since it was signed."


def test_a_huge_signature_is_not_read(model: Path) -> None:
    with signature_of(model).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(QgaitError, match="is larger than 64 KiB"):
        check_signature(model, PUBLIC)


@pytest.mark.parametrize("path", ["gone", "/dev/zero", "a" * 254, "a" * 9999])
def test_what_is_no_file_is_bad_input(path: str, tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="cannot be read") as caught:
        check_signature(tmp_path / path, PUBLIC)
    assert caught.value.fix
    with pytest.raises(QgaitError, match="cannot be read"):
        sign(tmp_path / path, read_private(PRIVATE))


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "a\x1b[1mb", "a\rb"])
def test_names_that_would_not_be_one_line_are_not_signed(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(QgaitError, match="cannot be signed"):
        sign(tmp_path / name, read_private(PRIVATE))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_in_a_bundle_is_not_signed(signed: Path) -> None:
    link(signed)
    with pytest.raises(QgaitError, match=r"gait.h in .* is a link"):
        sign(signed, read_private(PRIVATE))


def test_a_name_too_long_for_a_signature_is_told(tmp_path: Path) -> None:
    long = tmp_path / ("a" * 253)
    long.write_text("x")
    with pytest.raises(QgaitError, match="cannot be written: a name has at most 255 bytes"):
        sign(long, read_private(PRIVATE))
    with pytest.raises(ParityError, match="is unsigned"):
        check_signature(long, PUBLIC)


def test_openssl_and_sha256sum_say_the_same(signed: Path, tmp_path: Path) -> None:
    """As docs/signing.md tells people to check without qgait."""
    script = """
head -n -1 "$1" > "$3/text"
tail -n 1 "$1" | cut -d ' ' -f 3 | openssl base64 -d -A > "$3/sig"
openssl pkeyutl -verify -rawin -pubin -inkey "$2" -in "$3/text" -sigfile "$3/sig"
"""
    check = ["sh", "-euc", script, "sh", signed / "signature", PUBLIC, tmp_path]
    assert subprocess.run(check, capture_output=True, text=True).returncode == 0
    sums = ["sha256sum", "--check", "--strict", "--quiet", "signature"]
    assert subprocess.run(sums, cwd=signed).returncode == 0
    (signed / "signature").write_text((signed / "signature").read_text().replace("gait.h", "gate.h"))
    assert subprocess.run(check, capture_output=True).returncode == 1
