"""A manifest that was rewritten, with a checksum that fits: what cannot be is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from compiled_bundles import bundle

from qgait.errors import QgaitError
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_manifest import MANIFEST, checksum

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(bundle("tiny", "host").path, tmp_path / "b")
    return tmp_path / "b"


def rewritten(folder: Path, change: Change) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    manifest["checksum"] = checksum(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


CHANGES: dict[str, tuple[Change, str]] = {
    "a larger embedding": (
        lambda m: m["output"].update(shape=[14, 1200]),
        "selftest/clip0.codes has 168 bytes",
    ),
    "more parts": (lambda m: m["output"].update(shape=[12, 14]), "output has 14 scales for 12 parts"),
    "another frame": (lambda m: m["input"].update(shape=[12, 12]), "selftest/clip0.frames has 384 bytes, and by the"),
    "a shape of one": (lambda m: m["output"].update(shape=[14]), "output.shape has to be a list of length 2, not 1"),
    "a negative side": (lambda m: m["input"].update(shape=[-16, 12]), "input.shape[0] has to be a whole number of at"),
    "a scale of 0": (
        lambda m: m["output"]["scales"].__setitem__(3, 0.0),
        "output.scales[3] has to be a number",
    ),
    "a zero point": (lambda m: m["output"].update(zero_point=200), "output.zero_point has to be a whole number of at"),
    "no memory": (lambda m: m.pop("memory"), "it has no entry memory"),
    "an unknown entry": (lambda m: m.update(colour="red"), "it has an entry colour, which is unknown"),
    "another emulator": (
        lambda m: m["target"].update(qemu=["/bin/sh", "-c", "id"]),
        "target.qemu[0] is '/bin/sh', which is none of the values",
    ),
    "an unknown instruction set": (lambda m: m["target"].update(isa="z80"), "target.isa is 'z80', which is none"),
    "more of a target": (lambda m: m["target"].update(cores=4), "target has an entry cores, which is unknown"),
    "a bad prefix": (lambda m: m.update(prefix="../x"), "The prefix '../x' cannot begin the name of a C function"),
    "a prefix of others": (lambda m: m.update(prefix="other"), "files does not have other.h"),
    "a lost tensor": (lambda m: m["memory"]["tensors"].pop("linear16"), "memory.tensors does not have linear16"),
    "a kernel without a name": (lambda m: m["kernels"][0].pop("symbol"), "kernels[0] is not either a symbol or a"),
    "stride 0": (lambda m: m["timing"].update(stride=0), "timing.stride has to be a whole number of at least 1"),
    "a sum that is none": (
        lambda m: m["files"]["gait.h"].update(sha256="x"),
        "files.gait.h.sha256 is text",
    ),
    "a folder above": (lambda m: m["files"].update({"a/../x": m["files"]["gait.h"]}), "lists a/../x, a file outside"),
    "an absolute file": (lambda m: m["files"].update({"/x": m["files"]["gait.h"]}), "lists /x, a file outside"),
    "provenance of numbers": (lambda m: m.update(provenance={"commit": 1}), "provenance.commit has to be text"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_cannot_be_is_named(case: str, folder: Path) -> None:
    change, words = CHANGES[case]
    rewritten(folder, change)
    with pytest.raises(QgaitError) as caught:
        Bundle.open(folder)
    assert words in caught.value.problem
    assert len(caught.value.problem) - len(str(folder)) < 300


def test_a_bundle_may_tell_where_it_is_from(folder: Path) -> None:
    rewritten(folder, lambda manifest: manifest.update(provenance={"model sha256": "0" * 64}))
    assert Bundle.open(folder).manifest["provenance"] == {"model sha256": "0" * 64}


def test_a_pipe_in_the_place_of_a_file_does_not_hang(folder: Path) -> None:
    (folder / "gait.h").unlink()
    os.mkfifo(folder / "gait.h")
    with pytest.raises(QgaitError, match=r"gait.h cannot be read: it is a named pipe"):
        Bundle.open(folder)
    (folder / MANIFEST).unlink()
    os.mkfifo(folder / MANIFEST)
    with pytest.raises(QgaitError, match=r"manifest.json cannot be read: it is a named pipe"):
        Bundle.open(folder)


def test_opening_needs_neither_torch_nor_onnx(folder: Path) -> None:
    script = f"""
import sys
from qgait.runtime.bundle import Bundle
assert Bundle.open({str(folder)!r}).model == "tiny"
print(*sorted({{"torch", "onnx", "tvm", "onnxruntime", "yaml"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
