"""Bundles for a Cortex-M without an operating system, run on QEMU's boards: files, answers, damage, counts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from compiled_bundles import broken, bundle, clips, flipped, graph

from qgait.compiler.link import Linker, zig_command
from qgait.compiler.tvm.emit import LIBRARY
from qgait.errors import ParityError, QgaitError
from qgait.export.operators import PartLinear
from qgait.runtime.benchmark import bench
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_manifest import MANIFEST
from qgait.runtime.compiled import Compiled, Stream
from qgait.runtime.programs import invocation
from qgait.runtime.reference import Reference
from qgait.runtime.selftest import selftest
from qgait.targets import elf, qemu_system
from qgait.targets.processors import find

CORES = ["cortex-m55", "cortex-m85", "cortex-m33"]


@pytest.mark.parametrize("core", CORES[1:])
def test_codes_are_those_of_the_reference(core: str) -> None:
    given = clips(graph("tiny"), 1, 5, 2)
    wanted = Reference(graph("tiny")).embed_many(given)
    for codes, expected in zip(Compiled(bundle("tiny", core)).embed_many(given), wanted, strict=True):
        assert len(np.unique(expected)) > 10
        np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("name", ["temporal", "parts"])
def test_networks_over_neighbouring_frames_run_there(name: str) -> None:
    given = clips(graph(name), 9, 2)
    wanted = Reference(graph(name)).embed_many(given)
    for codes, expected in zip(Compiled(bundle(name, "cortex-m33")).embed_many(given), wanted, strict=True):
        np.testing.assert_array_equal(codes, expected)


def test_the_folder_has_a_program_for_the_board_and_nothing_to_load() -> None:
    made = bundle("tiny", "cortex-m33")
    inside = {file.relative_to(made.path).as_posix() for file in made.path.rglob("*") if file.is_file()}
    cases = {f"selftest/clip{i}.{kind}" for i in range(2) for kind in ("frames", "codes")}
    assert inside == {MANIFEST, "gait.h", "libgait.a", "gait-run.elf", "gait.pc", *cases}
    assert elf.machine(made.gait_run.read_bytes()) == made.target.elf_machine
    with pytest.raises(QgaitError, match="cannot be loaded here"):
        Stream(made)


@pytest.mark.parametrize("core", CORES)
def test_the_library_needs_nothing_but_memcpy_and_its_like(core: str, tmp_path: Path) -> None:
    made = bundle("tiny", core)
    subprocess.run([*zig_command(), "ar", "x", str(made.path / "libgait.a")], cwd=tmp_path, check=True)
    symbols = [symbol for file in tmp_path.glob("*.o") for symbol in elf.symbols(file.read_bytes())]
    defined = {symbol.name for symbol in symbols if symbol.defined}
    needed = {symbol.name for symbol in symbols if not symbol.defined} - defined
    assert {"gait_push", "gait_weights"} <= defined and needed <= LIBRARY


def test_the_self_test_says_how_much_stack_it_took() -> None:
    stack = selftest(bundle("tiny", "cortex-m55")).stack_bytes
    assert stack is not None and 100 < stack < 8192


def test_a_flipped_weight_fails_the_self_test(tmp_path: Path) -> None:
    made = bundle("tiny", "cortex-m55")
    head = graph("tiny").ops[-1]
    assert isinstance(head, PartLinear)
    at = made.gait_run.read_bytes().index(head.weight.tobytes())
    damaged = broken(made, tmp_path / "bundle", "gait-run.elf", flipped(at + 5, 0x7F), resign=True)
    with pytest.raises(ParityError, match=r"channel \d+ is -?\d+ instead of -?\d+"):
        selftest(Bundle.open(damaged))


def test_a_fault_ends_with_a_sentence(tmp_path: Path) -> None:
    target = find("cortex-m33")
    (tmp_path / "fault.c").write_text('int main(void) { __asm__("udf #0"); return 0; }')
    Linker(target, tmp_path).bare_program([tmp_path / "fault.c"], [], tmp_path, tmp_path / "fault")
    command = qemu_system.system_command(qemu_system.emulator(target), tmp_path / "fault", [])
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "gait-run: the processor stopped with exception 3.\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fly"], "there is no command fly"),
        (["embed"], "name two files"),
        (["embed", "missing", "codes"], "missing cannot be read"),
        (["selftest", "nowhere"], "there is no self-test clip in nowhere"),
        (["bench", "--frames", "2", "--runs", "1"], "the cycle counter stands still"),
        (["push", "1x"], "push needs a number"),
    ],
)
def test_wrong_use_gets_a_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    made = bundle("tiny", "cortex-m33")
    command = invocation(made, made.gait_run, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, cwd=made.path, timeout=60)
    assert (done.returncode, done.stderr.startswith("gait-run: ")) == (2, True)
    assert sentence in done.stderr


def test_instructions_of_a_frame_are_counted_and_repeatable() -> None:
    made = bundle("tiny", "cortex-m55")
    first, again = (bench(made, "qemu").to_dict() for _ in range(2))
    assert first == again
    macs = graph("tiny").frame_macs
    assert macs / 16 < first["instructions_per_frame"] < 10 * macs
    assert first["model_bytes"] == made.manifest["memory"]["flash_bytes"]
    assert first["frame_ms"] == {"median": None, "p95": None}


@pytest.mark.parametrize(
    ("device", "sentence"), [("local", "does not run on this"), ("ssh://pi@board", "no operating")]
)
def test_no_other_device_takes_it(device: str, sentence: str) -> None:
    with pytest.raises(QgaitError, match=sentence) as caught:
        bench(bundle("tiny", "cortex-m55"), device)
    assert "qemu" in caught.value.fix


def test_a_missing_emulator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(QgaitError, match="needs qemu-system-arm") as caught:
        qemu_system.emulator(find("cortex-m55"))
    assert "apt install qemu-system-arm" in caught.value.fix
