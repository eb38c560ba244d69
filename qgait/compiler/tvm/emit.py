"""Kernels to one object file of plain C functions, with no TVM runtime behind them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import tvm
from tvm import tirx

from qgait.compiler.tvm.program import Kernel
from qgait.targets import elf
from qgait.targets.processors import Target

# what LLVM may call and every C library has; the second row are the names of the ARM EABI
LIBRARY = {"memcpy", "memmove", "memset"} | {
    f"__aeabi_{name}{width}" for name in ("memcpy", "memmove", "memset", "memclr") for width in ("", "4", "8")
}


def llvm_target(target: Target) -> tvm.target.Target:
    """TVM's description of ``target``."""
    fields: dict[str, object] = {"kind": "llvm", "mtriple": target.mtriple}
    if target.mattr:
        fields["mattr"] = list(target.mattr)
    if target.mcpu:
        fields["mcpu"] = target.mcpu
    if "hf" in target.mtriple.rsplit("-", 1)[-1]:
        fields["mfloat-abi"] = "hard"
    if target.bare_metal:
        fields["vector-width"] = 128  # or TVM warns that it takes that
    return tvm.target.Target(fields)


def emit_object(kernels: Sequence[Kernel], target: Target) -> bytes:
    """A relocatable ELF object that exports one C function a kernel and needs nothing but memcpy and its like.

    The same kernels always give the same bytes. Raises RuntimeError when a symbol is missing or would be needed.
    """
    module = _lowered(kernels, target)
    built = tvm.get_global_func("target.build.llvm")(module, llvm_target(target))
    # LLVM ends the process when it cannot write, and memory has no disk that could be full
    descriptor = os.memfd_create("kernels.o")
    try:
        path = Path(f"/proc/self/fd/{descriptor}")
        built.write_to_file(str(path), "o")
        data = path.read_bytes()
    finally:
        os.close(descriptor)
    check_object(data, {kernel.symbol for kernel in kernels}, target.elf_machine)
    return data


def assembly(kernels: Sequence[Kernel], target: Target) -> str:
    """The same functions as assembler text, for people."""
    return tvm.get_global_func("target.build.llvm")(_lowered(kernels, target), llvm_target(target)).inspect_source("s")


def llvm_text(kernels: Sequence[Kernel], target: Target) -> str:
    """The same functions in LLVM's own text, for passes that TVM does not run, such as a sanitizer's."""
    return tvm.get_global_func("target.build.llvm")(_lowered(kernels, target), llvm_target(target)).inspect_source("ll")


def check_object(data: bytes, wanted: set[str], machine: int) -> None:
    """RuntimeError unless the object is for ``machine``, defines ``wanted`` and needs only memcpy and its like."""
    if elf.machine(data) != machine:
        raise RuntimeError(f"the object is for ELF machine {elf.machine(data)}, not {machine}")
    symbols = elf.symbols(data)
    missing = wanted - {symbol.name for symbol in symbols if symbol.defined and symbol.is_global}
    needed = {symbol.name for symbol in symbols if not symbol.defined} - LIBRARY
    if missing or needed:
        raise RuntimeError(f"the object lacks {sorted(missing)} and needs {sorted(needed)}")


def _lowered(kernels: Sequence[Kernel], target: Target) -> tvm.IRModule:
    """Loops and flat memory: the usual passes without the calling convention of TVM's runtime."""
    if len({kernel.symbol for kernel in kernels}) != len(kernels):
        raise RuntimeError("two kernels have one name")
    chosen = llvm_target(target)
    functions = {kernel.symbol: kernel.func.with_attr("global_symbol", kernel.symbol) for kernel in kernels}
    passes = [
        tirx.transform.BindTarget(chosen.with_host(chosen)),
        tirx.transform.FlattenBuffer(),
        tirx.transform.NarrowDataType(32),
        tirx.transform.VectorizeLoop(True),
        tirx.transform.UnrollLoop(),
        tirx.transform.StmtSimplify(),
        tirx.transform.RemoveNoOp(),
        tirx.transform.LowerIntrin(),
    ]
    with tvm.transform.PassContext(config={"tirx.UnrollLoop": {"explicit_unroll": True}}):
        return tvm.ir.transform.Sequential(passes)(tvm.IRModule(functions))
