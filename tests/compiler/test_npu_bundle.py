"""The bundle of an NPU target: what is in it, that it is proved, and that the proof notices what is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from compiled_bundles import clips, folder
from example_graphs import temporal_graph, tiny_graph
from laid_out_segments import laid_out, npu, plan_of

from qgait.compiler.npu.call import driver
from qgait.compiler.npu.ethosu.vela import compile_segment
from qgait.compiler.npu.plan import NpuPlan
from qgait.compiler.npu_bundle import write
from qgait.compiler.npu_segments import read_segments
from qgait.errors import ParityError, QgaitError
from qgait.export.graph import Graph
from qgait.export.segments import Segment
from qgait.export.tosa.writer import segment_bytes
from qgait.runtime.bundle import Bundle
from qgait.runtime.compiled import Compiled
from qgait.runtime.ethosu.segment import CompiledSegment
from qgait.runtime.programs import command_of
from qgait.runtime.reference import Reference
from qgait.targets.processors import find
from qgait.verification import proof
from qgait.verification.proof import Proof, play_back, prove

U55 = "ethos-u55-128"


def by_vela(graph: Graph, segment: Segment) -> CompiledSegment:
    return compile_segment(segment_bytes(graph, segment), npu(U55), name=segment.name)


@cache
def planned() -> NpuPlan:
    """The tiny network as Vela compiles it, beside a Cortex-M55."""
    return plan_of(tiny_graph(), U55, find("cortex-m55"), by_vela)


@cache
def bundle() -> Bundle:
    """Of ``planned``; not to be changed."""
    return write(planned(), folder() / "tiny", clips(planned().graph, 3, 2))


@cache
def proved() -> tuple[Proof, bytes]:
    """The proof of ``bundle``, and the runs that were played back."""
    played: list[bytes] = []

    def keep(command: list[str], work: Path, runs: bytes) -> None:
        shutil.copytree(work, folder() / "played")
        played.append(runs)
        play_back(command, work, runs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proof, "play_back", keep)
        return prove(bundle(), planned()), played[0]


def play(runs: bytes) -> None:
    """The proof's second half again, with other runs."""
    made = folder() / "played"
    play_back(command_of(bundle().target, made / "gait-run.elf", "selftest"), made, runs)


def test_streams_are_interpreted_and_the_library_runs_on_an_emulated_cortex_m55() -> None:
    found, _ = proved()
    parts, channels = bundle().embedding_shape
    assert found == Proof(codes=2 * parts * channels, interpreted=True, emulated=True, why_not=None)
    assert "not silicon" in found.sentences[0]


def test_the_library_runs_on_an_emulated_cortex_m55_between_windows_rings_and_several_streams() -> None:
    graph = temporal_graph()
    plan = plan_of(graph, "ethos-u85-256", find("cortex-m55"), laid_out)
    assert len(plan.compiled) > 3
    made = write(plan, folder() / "temporal", clips(graph, 6, 2))
    parts, channels = made.embedding_shape
    found = prove(made, plan)
    assert found == Proof(codes=2 * parts * channels, interpreted=False, emulated=True, why_not=None)
    assert "were not executed" in found.sentences[0]


def test_a_flipped_weight_is_noticed() -> None:
    head = planned().compiled["head"]
    weights = bytearray(head.weights)
    weights[len(weights) // 2] ^= 16
    compiled = {**planned().compiled, "head": replace(head, weights=bytes(weights))}
    with pytest.raises((ParityError, QgaitError)):
        prove(bundle(), replace(planned(), compiled=compiled))


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (0, "frame comes at the wrong time"),
        (len("frame") + 1, "byte 0 of its input silhouette is wrong"),
    ],
)
def test_a_byte_that_a_run_is_not_given_is_noticed(at: int, said: str) -> None:
    runs = bytearray(proved()[1])
    runs[at] ^= 1
    with pytest.raises(ParityError, match=f"run 0 of the NPU.*{said}"):
        play(bytes(runs))


def test_a_code_that_a_run_gives_is_in_the_embedding() -> None:
    """The last bytes that are played back are the last clip's embedding."""
    runs = bytearray(proved()[1])
    runs[-1] ^= 64
    with pytest.raises(ParityError, match="clip1, 2 frames: part"):
        play(bytes(runs))


def test_without_an_emulator_the_proof_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> list[str]:
        raise QgaitError("There is no emulator.", "install one.")

    monkeypatch.setattr(proof, "command_of", missing)
    assert proof._played_back(bundle(), b"") == "There is no emulator. Fix: install one."
    assert "did not run: There is no emulator" in Proof(1, True, False, "There is no emulator. Fix: .").sentences[1]


def test_the_files_are_what_a_firmware_engineer_needs() -> None:
    files = set(bundle().manifest["files"])
    streams = {f"npu/{name}.{form}" for name in ("frame", "head") for form in ("tosa", "tflite", "commands", "weights")}
    clip_files = {f"selftest/clip{i}.{kind}" for i in range(2) for kind in ("frames", "codes")}
    assert files == {"libgait.a", "gait.h", "gait.pc", "npu_driver.h", "npu_ethosu.c", *streams, *clip_files}


def test_beside_a_processor_with_linux_the_kernel_drives_the_npu() -> None:
    assert (driver(find("imx93")), driver(find("cortex-m85"))) == ("npu_linux.c", "npu_ethosu.c")


def test_under_linux_a_program_drives_the_npu_and_says_when_there_is_none() -> None:
    plan = plan_of(tiny_graph(), "ethos-u65-256", find("imx93"))
    made = write(plan, folder() / "linux", clips(plan.graph, 3, 2))
    assert {"gait-run", "npu_linux.c"} <= set(made.manifest["files"])
    done = subprocess.run(
        ["qemu-aarch64", str(made.gait_run), "selftest", str(made.path / "selftest")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout.startswith("clip0, 1 frames: gait_push answers 4, the NPU did not run\n")
    assert done.stdout.endswith("self-test FAILED\n")


def test_the_segments_come_back_from_the_bundle() -> None:
    for read, compiled in zip(read_segments(bundle()), planned().compiled.values(), strict=True):
        facts = {field: getattr(compiled, field) for field in compiled.__dataclass_fields__}
        if not compiled.scratch_fast[1]:
            facts["scratch_fast"] = (2, 0)
        assert {field: getattr(read, field) for field in facts} == facts


def test_the_manifest_says_what_runs_where() -> None:
    manifest, entry = bundle().manifest, bundle().npu
    assert entry is not None
    assert json.loads(json.dumps(entry)) == entry
    graph = planned().graph
    assert [step.get("segment") or step["symbol"] for step in manifest["kernels"]] == [
        "qgait_silhouette",
        "frame",
        "head",
    ]
    assert sorted(name for segment in entry["segments"] for name in segment["operators"]) == sorted(
        op.name for op in graph.ops
    )
    assert (entry["accelerator"], bundle().target_name, bundle().target.name) == (U55, U55, "cortex-m55")
    assert [(segment["phase"], segment["stride"]) for segment in entry["segments"]] == [("frame", 1), ("clip", 1)]
    arena = manifest["memory"]["arena_bytes"]
    assert arena > max(segment["scratch_bytes"] for segment in entry["segments"])


def test_the_header_names_the_npu_and_its_memory() -> None:
    header = (bundle().path / "gait.h").read_text()
    assert f'#define GAIT_TARGET "{U55}"' in header
    assert "#define GAIT_NPU_FAST_BYTES 0\n" in header
    assert "GAIT_NPU = 4" in header


def test_nobody_runs_it_as_if_there_were_an_npu() -> None:
    with pytest.raises(QgaitError, match=f"needs an {U55}"):
        Compiled(bundle())


def changed(by: Callable[[bytearray], None], name: str) -> Bundle:
    data = bytearray((bundle().path / name).read_bytes())
    by(data)
    copy = folder() / "changed"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(bundle().path, copy)
    (copy / name).write_bytes(data)
    return Bundle.open(copy)


@pytest.mark.parametrize("name", ["npu/frame.weights", "npu/head.commands", "npu_driver.h"])
def test_a_changed_file_is_refused(name: str) -> None:
    with pytest.raises(QgaitError, match=f"{name} in the bundle .* was changed"):
        changed(lambda data: data.__setitem__(0, data[0] ^ 1), name)


def test_expected_codes_are_the_references() -> None:
    given = clips(planned().graph, 3, 2)
    for number, wanted in enumerate(Reference(planned().graph).embed_many(given)):
        codes = np.fromfile(bundle().path / "selftest" / f"clip{number}.codes", np.int8)
        np.testing.assert_array_equal(codes.reshape(wanted.shape), wanted)
