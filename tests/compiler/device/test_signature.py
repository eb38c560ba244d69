"""gait-run selftest --key: a board says who signed the bundle around it, and what is not as it was signed."""

from __future__ import annotations

import base64
import os
import shutil
import string
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from compiled_bundles import bundle, flipped
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from signed_bundles import pair, signed_copy

from qgait.compiler import link
from qgait.compiler.bundle import HARNESS
from qgait.compiler.device import DEVICE
from qgait.compiler.link import CRYPTOGRAPHY, Linker
from qgait.runtime.programs import command_of
from qgait.signing.keys import fingerprint, read_public
from qgait.targets.processors import find

PUBLIC = pair()[1]
STRANGER = pair("stranger")[1]
# what checking costs: Ed25519 and SHA-256 of Zig's library, without the loops unrolled for speed, and signature.c
LIBRARIES = {False: ("libgait.a", "libgait.so"), True: ("libgait.a",)}
MOST_BYTES = {"host": 46_000, "arm": 39_000, "armv7": 70_000, "cortex-m55": 49_000, "cortex-m33": 49_000}


STUB = '#include "signature.h"\nint check_signature(const char *key) { return key == 0; }\n'


@pytest.mark.parametrize("target", MOST_BYTES)
def test_what_checking_costs(target: str, tmp_path: Path) -> None:
    made = bundle("tiny", target)
    linker = Linker(made.target, tmp_path)
    (tmp_path / "stub.c").write_text(STUB)
    sources = [DEVICE / name for name in HARNESS if name not in ("signature.c", CRYPTOGRAPHY)] + [tmp_path / "stub.c"]
    plain, archive = tmp_path / "plain", made.path / "libgait.a"
    if made.target.bare_metal:
        linker.bare_program(sources, [archive], made.path, plain)
    else:
        sources.append(DEVICE / "system_posix.c")
        linker._link(plain, "-static", *linker.flags, f"-I{made.path}", f"-I{DEVICE}", *sources, archive)
    assert 10_000 < made.gait_run.stat().st_size - plain.stat().st_size < MOST_BYTES[target]
    for name in (*LIBRARIES[made.target.bare_metal], "gait.h"):
        content = (made.path / name).read_bytes()
        assert b"ed25519" not in content and b"sha256" not in content, "the library has no part in it"


def test_the_program_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    for target in ("arm", "cortex-m55"):
        made = bundle("tiny", target)
        done = {}
        for name in ("a", "b"):
            (tmp_path / target / name).mkdir(parents=True)
            link._compiled_cryptography.clear()
            Linker(made.target, tmp_path / target / name).program(HARNESS, made.path, tmp_path / target / name / "run")
            done[name] = (tmp_path / target / name / "run").read_bytes()
        assert done["a"] == done["b"] == made.gait_run.read_bytes()


def selftest(folder: Path, key: Path | str = PUBLIC, target: str = "host") -> subprocess.CompletedProcess[str]:
    program = folder / bundle("tiny", target).gait_run.name
    # without an operating system paths are those of the emulator
    command = command_of(find(target), program, "selftest", "--key", os.path.relpath(key, folder))
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Signed bundles that nobody changes."""
    made: dict[str, Path] = {}

    def of(target: str) -> Path:
        if target not in made:
            made[target] = signed_copy(tmp_path_factory.mktemp("signed") / "b", target)
        return made[target]

    return of


@pytest.fixture
def signed(sound: Callable[[str], Path], tmp_path: Path) -> Path:
    """A signed bundle for this machine, to change."""
    return Path(shutil.copytree(sound("host"), tmp_path / "b"))


@pytest.mark.parametrize("target", ["host", "arm", "armv7", "cortex-m55", "cortex-m33"])
def test_every_kind_of_processor_checks(target: str, sound: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sound(target), tmp_path / "b"))
    done = selftest(folder, target=target)
    files = len([file for file in folder.rglob("*") if file.is_file()]) - 1
    key = fingerprint(read_public(PUBLIC))
    said = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == ""
    assert said[0] == f"signature: {files} files are as the key sha256:{key} signed them"
    assert "self-test passed: 2 clips" in said
    foreign = selftest(folder, STRANGER, target)
    assert foreign.returncode == 1 and f"signed by another key, sha256:{key}" in foreign.stdout
    for name in ("gait.h", "manifest.json", "selftest/clip1.codes"):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(flipped(len(before) // 2, 1)(before))
        changed = selftest(folder, target=target)
        assert changed.returncode == 1 and "codes are equal" not in changed.stdout
        assert f"signature: {name} was changed since the bundle was signed" in changed.stdout
        (folder / name).write_bytes(before)
    (folder / "signature").write_bytes(flipped(300, 1)((folder / "signature").read_bytes()))
    assert "the file signature was changed, or is of another bundle" in selftest(folder, target=target).stdout
    (folder / "signature").unlink()
    unsigned = selftest(folder, target=target)
    assert unsigned.returncode == 1 and "the bundle is unsigned" in unsigned.stdout


def test_a_changed_byte_of_any_file_is_found(signed: Path) -> None:
    names = sorted(file.relative_to(signed).as_posix() for file in signed.rglob("*") if file.is_file())
    for name in names:
        before = (signed / name).read_bytes()
        mode = (signed / name).stat().st_mode
        # the program that runs cannot be written to, and its own code must stay what checks
        places = (0, len(before) // 2, len(before) - 1) if name != "gait-run" else (len(before) - 1,)
        for place in places:
            (signed / name).unlink()
            (signed / name).write_bytes(flipped(place, 1)(before))
            (signed / name).chmod(mode)
            done = selftest(signed)
            assert done.returncode == 1 and name in done.stdout, (name, place)
        (signed / name).unlink()
        (signed / name).write_bytes(before)
        (signed / name).chmod(mode)
    assert selftest(signed).returncode == 0


def test_every_byte_of_a_signature_counts(signed: Path) -> None:
    signature = signed / "signature"
    before = signature.read_bytes()
    for place in range(len(before)):
        signature.write_bytes(flipped(place, 1 << place % 8)(before))
        assert selftest(signed).returncode == 1, place
    for place in range(0, len(before), 7):
        signature.write_bytes(before[:place])
        assert selftest(signed).returncode == 1, place
        signature.write_bytes(before[:place] + before[place + 1 :])
        assert selftest(signed).returncode == 1, place
    for content in (before + b"\n", before * 2, b"\n" + before, bytes(1 << 17), before.replace(b"\n", b"\r\n")):
        signature.write_bytes(content)
        assert selftest(signed).returncode == 1


def test_another_spelling_of_the_same_signature_is_refused(signed: Path) -> None:
    signature = signed / "signature"
    before = signature.read_bytes()
    line = before.splitlines()[-1].removeprefix(b"# ed25519 ")
    digits = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/").encode()
    for rest in range(1, 16):  # the last four bits of the last digit mean nothing
        other = line[:85] + digits[digits.index(line[85]) + rest :][:1] + b"=="
        assert base64.b64decode(other) == base64.b64decode(line)
        signature.write_bytes(before.replace(line, other))
        assert selftest(signed).returncode == 1
    for end in (b"=\n\n", b"\n=\n", b"=A\n", b"A=\n"):
        signature.write_bytes(before[:-3] + end)
        assert selftest(signed).returncode == 1


def remove(folder: Path) -> None:
    (folder / "gait.h").unlink()


def rename(folder: Path) -> None:
    (folder / "gait.h").rename(folder / "gate.h")


def link_of_a_file(folder: Path) -> None:
    (folder / "gait.h").rename(folder.parent / "gait.h")
    (folder / "gait.h").symlink_to(folder.parent / "gait.h")


def link_of_a_folder(folder: Path) -> None:
    (folder / "selftest").rename(folder.parent / "selftest")
    (folder / "selftest").symlink_to(folder.parent / "selftest")


def pipe(folder: Path) -> None:
    (folder / "gait.h").unlink()
    os.mkfifo(folder / "gait.h")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "evil.so").write_text("x"), "evil.so was added since the bundle was signed"),
        (lambda folder: (folder / "a\n\x1b[2J\xe9").write_text("x"), "a??[2J?? was added"),
        (lambda folder: (folder / "gait").write_text("x"), "gait was added since the bundle was signed"),
        (lambda folder: (folder / "selftest" / "clip2.codes").write_text("x"), "selftest/clip2.codes was added"),
        (lambda folder: (folder / "selftest" / "signature").write_text("x"), "selftest/signature was added"),
        (remove, "gait.h is missing"),
        (rename, "gate.h was added since"),
        (link_of_a_file, "gait.h is not a file"),
        (link_of_a_folder, "selftest is not a file"),
        (pipe, "gait.h is not a file"),
        (lambda folder: (folder / "signature").write_text("hello\n"), "signature is damaged, or of another version"),
        (lambda folder: (folder / "signature").write_bytes(b""), "signature is damaged, or of another version"),
    ],
)
def test_a_changed_bundle_is_told(signed: Path, change: Callable[[Path], object], said: str) -> None:
    change(signed)
    done = selftest(signed)
    assert done.returncode == 1 and said in done.stdout and done.stdout.count("\n") == 1


def test_the_signature_of_another_bundle_is_refused(signed: Path, sound: Callable[[str], Path]) -> None:
    shutil.copy(sound("arm") / "signature", signed / "signature")
    done = selftest(signed)
    assert done.returncode == 1 and "gait-run was changed since" in done.stdout


KEYS = {
    "nonsense": b"my key",
    "hollow": b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
    "open": b"-----BEGIN PUBLIC KEY-----\n",
    "garbled": b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA????\n-----END PUBLIC KEY-----\n",
    "long": b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 100_000 + b"\n-----END PUBLIC KEY-----\n",
    "rsa": generate_private_key(65537, 2048).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "private": pair()[0].read_bytes(),
}


@pytest.mark.parametrize("kind", KEYS)
def test_what_is_no_public_key_is_refused(kind: str, signed: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(KEYS[kind])
    done = selftest(signed, key)
    assert done.returncode == 2 and "key.pem is not the PEM file of a public Ed25519 key" in done.stderr


def test_wrong_arguments_get_a_sentence(signed: Path, tmp_path: Path) -> None:
    done = selftest(signed, tmp_path / "gone.pem")
    assert done.returncode == 2 and "gone.pem cannot be read" in done.stderr
    for arguments in (["--key"], ["selftest", "--key", "x"], ["--key", "x", "y"]):
        done = subprocess.run([signed / "gait-run", "selftest", *arguments], capture_output=True, text=True)
        assert done.returncode == 2 and "selftest takes one folder, or --key" in done.stderr


def test_keys_with_other_line_ends_are_read(signed: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(b"Our key:\r\n" + PUBLIC.read_bytes().replace(b"\n", b"\r\n"))
    assert selftest(signed, key).returncode == 0
