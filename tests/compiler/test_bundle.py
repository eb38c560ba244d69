"""Bundles give the reference's codes on every target and can be traced kernel by kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compiled_bundles import bundle, clips, graph

from qgait.errors import QgaitError
from qgait.export.operators import FrameMax
from qgait.runtime import reference
from qgait.runtime.bundle_manifest import MANIFEST
from qgait.runtime.compiled import Compiled
from qgait.runtime.selftest import SelfTest, selftest
from qgait.targets.processor import machine_of

TINY = [("tiny", target) for target in ("host", "arm", "arm64-v8", "armv7", "cortex-m55")]
LARGE = [(name, target) for name in ("gaitset", "gaitbase") for target in ("host", "arm")]


@pytest.mark.parametrize(("name", "target"), TINY + LARGE)
def test_codes_are_those_of_the_reference(name: str, target: str) -> None:
    given = clips(graph(name), *((1, 5, 2) if name == "tiny" else (2,)))
    expected = reference.Reference(graph(name)).embed_many(given)
    compiled = Compiled(bundle(name, target))
    assert compiled.name == target
    for codes, wanted in zip(compiled.embed_many(given), expected, strict=True):
        assert len(np.unique(wanted)) > 10
        np.testing.assert_array_equal(codes, wanted)
    np.testing.assert_array_equal(compiled.embed(given[-1]), expected[-1])


@pytest.mark.parametrize(("name", "target"), TINY)
def test_every_kernel_writes_what_the_reference_computes(name: str, target: str) -> None:
    traced = bundle(name, target, trace=True)
    clip = clips(graph(name), 3)[0]
    expected = reference.trace(graph(name), clip)
    found = Compiled(traced).trace(clip)
    assert set(found) == {of for kernel in traced.manifest["kernels"] for of in kernel["outputs"]}
    assert graph(name).output in found
    assert any(isinstance(op, FrameMax) and op.output in found for op in graph(name).ops)
    for tensor, codes in found.items():
        np.testing.assert_array_equal(codes, expected[tensor], err_msg=tensor)


def test_a_bundle_without_trace_says_so() -> None:
    with pytest.raises(QgaitError, match="gait-trace"):
        Compiled(bundle("tiny", "host")).trace(clips(graph("tiny"), 1)[0])


def test_the_folder_holds_what_the_documentation_lists() -> None:
    made = bundle("tiny", "arm")
    inside = {file.relative_to(made.path).as_posix() for file in made.path.rglob("*") if file.is_file()}
    cases = {f"selftest/clip{i}.{kind}" for i in range(2) for kind in ("frames", "codes")}
    assert inside == {MANIFEST, "gait.h", "libgait.a", "libgait.so", "gait-run", "gait.pc", *cases}
    assert set(made.manifest["files"]) == inside - {MANIFEST}
    page = (Path(__file__).parents[2] / "docs" / "targets.md").read_text()
    for entry in made.manifest:
        assert f"`{entry}`" in page, f"docs/targets.md does not explain {entry}"


@pytest.mark.parametrize(("target", "machine"), [("host", None), ("arm", 183), ("arm64-v8", 183), ("armv7", 40)])
def test_programs_are_for_the_target_and_the_library_needs_nothing(target: str, machine: int | None) -> None:
    made = bundle("tiny", target)
    for name in ("libgait.so", "gait-run"):
        assert machine_of(made.path / name) == (machine or made.target.elf_machine)
    library = (made.path / "libgait.so").read_bytes()
    assert b"gait_embedding\0" in library and b"qgait_" not in library, "only the four calls are exported"
    assert b"libc" not in library


def test_the_manifest_tells_the_tensor_contract() -> None:
    made, network = bundle("tiny", "arm"), graph("tiny")
    embedding = network.tensors[network.output]
    assert made.model == "tiny" and made.manifest["bits"] == "w8a8" and made.target.name == "arm"
    assert made.frame_shape == (16, 12) and made.embedding_shape == embedding.shape
    assert made.zero_point == embedding.zero_point
    np.testing.assert_array_equal(made.scale, np.broadcast_to(embedding.scale, embedding.shape[:1]))
    assert made.manifest["macs"] == {"frame": network.frame_macs, "embedding": network.clip_macs}
    layers = {layer for kernel in made.manifest["kernels"] for layer in kernel["layers"]}
    assert layers >= {op.name for op in network.ops}
    lengths = [len(np.fromfile(made.path / f"selftest/clip{i}.frames", np.uint8)) // (16 * 12) for i in range(2)]
    assert lengths == made.manifest["selftest"]["frames"] == [2, 3]


def test_the_selftest_says_what_it_compared() -> None:
    codes = np.prod(bundle("tiny", "arm").embedding_shape)
    assert selftest(bundle("tiny", "arm")) == SelfTest(clips=2, codes=2 * codes, emulated=True, stack_bytes=None)


@pytest.mark.parametrize("target", ["host", "arm"])
def test_running_a_bundle_needs_numpy_only(target: str) -> None:
    path = str(bundle("tiny", target).path)
    program = f"""
import sys
for name in ("torch", "tvm", "onnx", "onnxruntime", "cv2", "jinja2", "ziglang", "click", "rich", "safetensors"):
    sys.modules[name] = None
import json, numpy as np
from qgait.runtime.bundle import Bundle
from qgait.runtime.compiled import Compiled
print(json.dumps(Compiled(Bundle.open({path!r})).embed(np.full((2, 16, 12), 77, np.uint8)).tolist()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted = reference.Reference(graph("tiny")).embed(np.full((2, 16, 12), 77, np.uint8))
    np.testing.assert_array_equal(np.array(json.loads(done.stdout), np.int8), wanted)


@pytest.mark.parametrize("target", ["host", "arm"])
def test_wrong_clips_get_a_sentence(target: str) -> None:
    compiled = Compiled(bundle("tiny", target))
    for clip in (np.zeros((2, 16, 13), np.uint8), np.zeros((2, 16, 12), np.float32), np.zeros((16, 12), np.uint8)):
        with pytest.raises(QgaitError, match=r"takes clips uint8 \[frames, 16, 12\]"):
            compiled.embed(clip)
    with pytest.raises(QgaitError, match="no frames"):
        compiled.embed(np.zeros((0, 16, 12), np.uint8))


def test_clips_need_not_be_contiguous() -> None:
    clip = clips(graph("tiny"), 6)[0]
    wanted = reference.Reference(graph("tiny")).embed(np.ascontiguousarray(clip[::2, :, ::-1]))
    for target in ("host", "arm"):
        np.testing.assert_array_equal(Compiled(bundle("tiny", target)).embed(clip[::2, :, ::-1]), wanted)
