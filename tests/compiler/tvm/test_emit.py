"""Object files: plain C functions for the right processor, nothing missing, always the same bytes."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from example_graphs import tiny_graph

from qgait.compiler.tvm.emit import assembly, check_object, emit_object
from qgait.compiler.tvm.lowering import lower
from qgait.compiler.tvm.program import Kernel
from qgait.targets import elf
from qgait.targets.processors import all_targets, find


def kernels(name: str) -> list[Kernel]:
    program = lower(tiny_graph(), find(name))
    return [*program.frame, *program.clip]


@pytest.mark.parametrize("name", [target.name for target in all_targets()])
def test_every_target_exports_its_kernels(name: str) -> None:
    data = emit_object(kernels(name), find(name))
    assert elf.machine(data) == find(name).elf_machine
    exported = {symbol.name for symbol in elf.symbols(data) if symbol.defined and symbol.is_global}
    assert {kernel.symbol for kernel in kernels(name)} <= exported


@pytest.mark.parametrize("name", ["host", "arm64-v8", "armv7"])
def test_the_bytes_are_always_the_same(name: str) -> None:
    assert emit_object(kernels(name), find(name)) == emit_object(kernels(name), find(name))


@pytest.mark.parametrize("triple", ["aarch64-linux-musl", "arm-linux-musleabihf"])
def test_the_reader_sees_what_a_compiler_wrote(triple: str, tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("extern int other(int); int here(int x) { return other(x) + 1; }")
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", triple, "-fno-sanitize=all", "-c", "a.c", "-o", "a.o"]
    subprocess.run(zig, cwd=tmp_path, check=True)
    data = (tmp_path / "a.o").read_bytes()
    found = {symbol.name: symbol for symbol in elf.symbols(data)}
    assert found["here"].defined and found["here"].is_global
    assert not found["other"].defined
    with pytest.raises(RuntimeError, match=r"needs .*'other'"):
        check_object(data, {"here"}, elf.machine(data))
    with pytest.raises(RuntimeError, match=r"lacks \['there'\]"):
        check_object(data, {"there"}, elf.machine(data))
    with pytest.raises(RuntimeError, match="machine"):
        check_object(data, {"here"}, 0)


def test_other_files_are_refused() -> None:
    for data in (b"", b"!<arch>\n", b"\x7fELF" + struct.pack("<BB", 2, 2) + bytes(20)):
        with pytest.raises(ValueError, match="ELF"):
            elf.machine(data)


def test_two_kernels_of_one_name_are_refused() -> None:
    kernel = kernels("host")[0]
    with pytest.raises(RuntimeError, match="one name"):
        emit_object([kernel, kernel], find("host"))


def test_products_become_multiply_accumulate_instructions() -> None:
    """The inner loops are what they are meant to be: smlal on ARMv8, vmlal on ARMv7, sdot with dot products."""
    for name, instruction in [("arm64-v8", "smlal"), ("arm64-v8", "sadalp"), ("armv7", "vmlal.s16"), ("arm", "sdot")]:
        assert assembly(kernels(name), find(name)).count(f"\t{instruction}") > 50, name
