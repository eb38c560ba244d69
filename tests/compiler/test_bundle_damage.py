"""Damaged, foreign and half-written bundles: each is refused with a sentence, and nothing stays behind."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compiled_bundles import broken, bundle, clips, flipped, graph

from qgait.compiler import bundle as bundle_writer
from qgait.compiler.bundle import write
from qgait.compiler.tvm.lowering import lower
from qgait.errors import ParityError, QgaitError
from qgait.files import whole_folder
from qgait.runtime import qemu
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_manifest import MANIFEST, read_manifest, sign
from qgait.runtime.compiled import Compiled, Stream
from qgait.runtime.selftest import selftest
from qgait.targets import processor
from qgait.targets.processors import find

FILES = ("gait.h", "libgait.a", "libgait.so", "gait-run", "selftest/clip0.frames", "selftest/clip1.codes", MANIFEST)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_a_changed_byte_in_any_file_is_refused_by_name(file: str, place: float, tmp_path: Path) -> None:
    def change(data: bytes) -> bytes:
        return flipped(int(place * len(data)), 1)(data)

    with pytest.raises(QgaitError, match=Path(file).name) as caught:
        Bundle.open(broken(bundle("tiny", "host"), tmp_path / "b", file, change, resign=False))
    assert caught.value.fix


def test_a_changed_word_in_the_manifest_is_refused(tmp_path: Path) -> None:
    def change(data: bytes) -> bytes:
        return data.replace(b'"tiny"', b'"tina"')

    with pytest.raises(QgaitError, match=r"manifest.json .* was changed"):
        Bundle.open(broken(bundle("tiny", "host"), tmp_path / "b", MANIFEST, change, resign=False))


def test_a_manifest_that_points_outside_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(bundle("tiny", "host").path, folder)
    manifest = read_manifest(folder)
    manifest["files"]["../../etc/passwd"] = {"bytes": 1, "sha256": "0" * 64}
    from qgait.runtime import bundle_manifest as module

    manifest["checksum"] = module.checksum(manifest)
    (folder / MANIFEST).write_text(module._text(manifest))
    with pytest.raises(QgaitError, match=r"lists ../../etc/passwd, a file outside the bundle"):
        Bundle.open(folder)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(bundle("tiny", "host").path, folder)
    (folder / file).unlink()
    with pytest.raises(QgaitError, match=Path(file).name):
        Bundle.open(folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "was changed: its text is not JSON"),
        ("[]", "is not a bundle"),
        ('{"format": "other"}', "is not a bundle"),
        ('{"format": "qgait-bundle", "version": 1}', "format version 1, and this qgait reads 4"),
    ],
)
def test_other_manifests_are_refused(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(QgaitError, match=sentence):
        Bundle.open(tmp_path)


def test_a_folder_without_a_manifest_and_a_file_are_no_bundles(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "file", tmp_path / "nothing"):
        with pytest.raises(QgaitError, match="is not a bundle"):
            Bundle.open(path)


def weight_offset(of: Bundle, file: str) -> int:
    """Where the weights of the last layer begin in a file of a tiny bundle."""
    network = graph("tiny")
    kernel = lower(network, of.target).clip[-1]
    largest = max(kernel.constants, key=lambda array: array.nbytes)
    data = (of.path / file).read_bytes()
    return data.index(np.ascontiguousarray(largest).tobytes())


@pytest.mark.parametrize("target", ["host", "arm"])
def test_the_selftest_fails_when_one_weight_is_another(target: str, tmp_path: Path) -> None:
    sound = bundle("tiny", target)
    at = weight_offset(sound, "gait-run")
    opened = Bundle.open(broken(sound, tmp_path / "b", "gait-run", flipped(at), resign=True))
    with pytest.raises(ParityError, match=r"clip0, 2 frames: part \d+, channel \d+ is -?\d+ instead of -?\d+"):
        selftest(opened)


def test_another_weight_in_the_library_changes_codes(tmp_path: Path) -> None:
    sound = bundle("tiny", "host")
    at = weight_offset(sound, "libgait.so")
    opened = Bundle.open(broken(sound, tmp_path / "b", "libgait.so", flipped(at), resign=True))
    clip = clips(graph("tiny"), 3)[0]
    assert (Compiled(opened).embed(clip) != Compiled(sound).embed(clip)).any()


def test_a_wrong_selftest_forbids_loading(tmp_path: Path) -> None:
    folder = broken(bundle("tiny", "host"), tmp_path / "b", "selftest/clip0.codes", flipped(5), resign=True)
    with pytest.raises(ParityError, match="part 0, channel 5"):
        Stream(Bundle.open(folder))


def test_a_library_for_another_processor_is_refused(tmp_path: Path) -> None:
    library = (bundle("tiny", "arm").path / "libgait.so").read_bytes()
    folder = broken(bundle("tiny", "host"), tmp_path / "b", "libgait.so", lambda _: library, resign=True)
    with pytest.raises(QgaitError, match=r"libgait.so in .* is for 64-bit ARM, its manifest says"):
        Compiled(Bundle.open(folder))


def test_a_bundle_for_another_processor_without_emulator_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(bundle("tiny", "arm").path, folder)
    manifest = read_manifest(folder)
    manifest["target"]["qemu"] = None  # as a bundle for "host" that was made on an ARM machine
    sign(folder, {key: value for key, value in manifest.items() if key != "checksum"})
    with pytest.raises(QgaitError, match="This bundle is for 64-bit ARM and this machine is"):
        Compiled(Bundle.open(folder))


def test_a_processor_that_lacks_instructions_is_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(bundle("gaitset", "arm").path, folder)
    manifest = read_manifest(folder)
    manifest["target"]["qemu"] = ["qemu-aarch64", "-cpu", "cortex-a72"]  # has no dot products
    sign(folder, {key: value for key, value in manifest.items() if key != "checksum"})
    opened = Bundle.open(folder)
    with pytest.raises(QgaitError, match="SIGILL: this processor lacks instructions of the target"):
        selftest(opened)
    with pytest.raises(QgaitError, match="SIGILL: this processor lacks instructions of the target"):
        Compiled(opened).embed(clips(graph("gaitset"), 1)[0])


def test_arm_code_is_not_loaded_into_this_process() -> None:
    with pytest.raises(QgaitError, match="is for 64-bit ARM and cannot be loaded here"):
        Stream(bundle("tiny", "arm"))


@pytest.mark.parametrize(("target", "emulator"), [("arm", "qemu-aarch64"), ("armv7", "qemu-arm")])
def test_a_missing_emulator_is_named_with_its_package(
    target: str, emulator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(QgaitError, match=f"needs {emulator}, which is not installed") as caught:
        Compiled(bundle("tiny", target))
    assert "apt install qemu-user" in caught.value.fix


def test_native_code_needs_no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor.platform, "machine", lambda: "aarch64")
    assert qemu.launcher(183, ("qemu-aarch64",)) == []


@pytest.mark.parametrize("content", ["file", "folder", "link", "stranger"])
def test_what_is_not_a_bundle_is_never_overwritten(content: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if content == "file":
        out.write_text("mine")
    elif content == "folder":
        out.mkdir()
        (out / "mine").write_text("mine")
    elif content == "link":
        out.symlink_to(tmp_path)
    else:
        shutil.copytree(bundle("tiny", "host").path, out)
        (out / "mine").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(QgaitError, match=r"is not a bundle|also holds mine|is a file, not a folder"):
        write(graph("tiny"), find("host"), out, clips(graph("tiny"), 1, 2))
    assert sorted(tmp_path.rglob("*")) == before


def test_an_older_bundle_and_an_empty_folder_are_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    first = write(graph("tiny"), find("host"), out, clips(graph("tiny"), 1, 2))
    second = write(graph("tiny"), find("host"), out, clips(graph("tiny"), 1, 4))
    assert first.manifest["selftest"]["frames"] == [1, 2] and second.manifest["selftest"]["frames"] == [1, 4]
    for name in ("libgait.so", "libgait.a", "gait-run", "gait.h", "gait.pc"):
        assert second.manifest["files"][name] == first.manifest["files"][name], f"{name} twice the same"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("error", "expected", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), QgaitError, "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), QgaitError, "Permission denied"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
    ],
)
@pytest.mark.parametrize("older", [False, True])
def test_a_failure_on_the_way_leaves_nothing_half_written(
    error: BaseException,
    expected: type[BaseException],
    sentence: str,
    older: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    if older:
        shutil.copytree(bundle("tiny", "host").path, out)

    def fail(folder: Path, manifest: object) -> None:
        assert (folder / "gait-run").exists()
        raise error

    monkeypatch.setattr(bundle_writer, "sign", fail)
    with pytest.raises(expected, match=sentence or None):
        write(graph("tiny"), find("host"), out, clips(graph("tiny"), 1, 2))
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if older else [])
    if older:
        Bundle.open(out)


def interrupted_move(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    replace_file: Callable[[Path, Path], Path] = Path.replace

    def stop(self: Path, to: Path) -> Path:
        if source in self.name:
            raise KeyboardInterrupt
        return replace_file(self, to)

    monkeypatch.setattr(Path, "replace", stop)


def test_an_interrupt_between_the_two_moves_brings_the_older_bundle_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(bundle("tiny", "host").path, out)
    monkeypatch.setattr(whole_folder, "_exchanged", lambda one, other: False)  # as on file systems that cannot
    interrupted_move(monkeypatch, ".partial-")
    with pytest.raises(KeyboardInterrupt):
        write(graph("tiny"), find("host"), out, clips(graph("tiny"), 1, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert Bundle.open(out).manifest == bundle("tiny", "host").manifest


def test_a_linker_for_another_processor_is_noticed(tmp_path: Path) -> None:
    wrong = replace(find("host"), elf_machine=183)
    with pytest.raises((QgaitError, RuntimeError), match=r"183|64-bit ARM"):
        write(graph("tiny"), wrong, tmp_path / "out", clips(graph("tiny"), 1, 2))
    assert list(tmp_path.iterdir()) == []


def test_selftest_clips_must_prove_something(tmp_path: Path) -> None:
    network, target = graph("tiny"), find("host")
    with pytest.raises(QgaitError, match="two clips of different length"):
        write(network, target, tmp_path / "out", clips(network, 2, 2))
    with pytest.raises(QgaitError, match=r"must be uint8 \[frames, 16, 12\]"):
        write(network, target, tmp_path / "out", [np.zeros((2, 64, 44), np.uint8)])


def test_strangers_names_do_not_become_code(tmp_path: Path) -> None:
    hostile = replace(graph("tiny"), model='x"\n#error "*/ injected', bits="*/ w8a8")
    made = write(hostile, find("host"), tmp_path / "out", clips(hostile, 1, 2))
    assert 'GAIT_MODEL "x___error ___ injected"' in (made.path / "gait.h").read_text()
    assert json.loads((made.path / MANIFEST).read_text())["model"] == hostile.model
