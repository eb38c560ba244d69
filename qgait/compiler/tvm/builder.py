"""A few words for writing kernels with TVM's IR builder: arguments, scratch memory, vector loads and stores.

In a kernel a ``with T.serial(n) as i`` is a loop of the compiled code, a Python ``for`` is unrolled code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import gcd
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tvm import tirx
from tvm.ir import PointerType, PrimType
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from qgait.compiler.alignment import ALIGNMENT, aligned
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.program import Kernel
from qgait.export.operators import Tensor

Index: TypeAlias = "tirx.PrimExpr | int"


def constant(values: ArrayLike, dtype: str) -> NDArray[np.generic]:
    """A flat read-only copy whose first byte is 64-byte aligned."""
    flat = np.ascontiguousarray(values, dtype).reshape(-1)
    room = np.empty(flat.nbytes + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    copy = room[start : start + flat.nbytes].view(dtype)
    copy[:] = flat
    copy.flags.writeable = False
    return copy


class Function:
    """The arguments of one C function: inputs first, then constants, scratch memory and the output."""

    def __init__(self, group: Group, in_place: str | None = None) -> None:
        self.group = group
        self.in_place = in_place
        self.func: tirx.PrimFunc | None = None
        self._inputs: list[tirx.Var] = []
        self._constants: list[tirx.Var] = []
        self._working: list[tirx.Var] = []
        self._unpacked: list[tirx.Var] = []
        self._outputs: list[tirx.Var] = []
        self._declarations: list[tirx.Stmt] = []
        self.constants: list[NDArray[np.generic]] = []
        self.scratch_bytes = self.unpacked_bytes = 0
        self._neighbours = 0

    def input(self, tensor: Tensor, index: int = 0) -> tirx.Buffer:
        """The codes of the input number ``index``."""
        return self._argument(self._inputs, f"in{index}", tensor.size, "int8")

    def window(self, tensor: Tensor, size: int) -> tuple[list[tirx.Buffer], tirx.Buffer]:
        """The codes of ``size`` neighbouring values, and for each -1 or, where it is missing, 0."""
        self._neighbours = size
        values = [self.input(tensor, index) for index in range(size)]
        return values, self._argument(self._inputs, "present", size, "int8")

    def constant(self, values: ArrayLike, dtype: str) -> tirx.Buffer:
        """An array that goes into the library."""
        self.constants.append(constant(values, dtype))
        return self._argument(self._constants, f"constant{len(self.constants) - 1}", self.constants[-1].size, dtype)

    def scratch(self, *areas: tuple[int, str]) -> list[tirx.Buffer]:
        """One 64-byte aligned buffer in scratch memory for every (size, dtype)."""
        pointer = self._pointer(self._working, "scratch", "int8")
        buffers: list[tirx.Buffer] = []
        for size, dtype in areas:
            width = np.dtype(dtype).itemsize
            offset = self.scratch_bytes // width
            buffers.append(self._declare(f"scratch{len(buffers)}", size, dtype, pointer, offset))
            self.scratch_bytes += aligned(size * width)
        return buffers

    def unpacked(self, size: int, dtype: str) -> tirx.Buffer:
        """Scratch memory for unpacked weights, an argument of its own.

        LLVM then counts in it apart from the activations, as in weights that lie in the library.
        """
        self.unpacked_bytes = aligned(size * np.dtype(dtype).itemsize)
        return self._argument(self._unpacked, "unpacked", size, dtype)

    def output(self, tensor: Tensor) -> tirx.Buffer:
        """The codes of the result."""
        return self._argument(self._outputs, "out", tensor.size, "int8")

    def kernel(self) -> Kernel:
        """The finished function with everything the bundle has to know."""
        assert self.func is not None, "the body is not finished"
        return Kernel(
            symbol=self.group.symbol,
            ops=tuple(op.name for op in self.group.ops),
            inputs=self.group.inputs,
            output=self.group.output,
            constants=tuple(self.constants),
            scratch_bytes=self.scratch_bytes + self.unpacked_bytes,
            unpacked_bytes=self.unpacked_bytes,
            func=self.func,
            in_place=self.in_place,
            neighbours=self._neighbours,
        )

    def _argument(self, kind: list[tirx.Var], name: str, size: int, dtype: str) -> tirx.Buffer:
        return self._declare(name, size, dtype, self._pointer(kind, name, dtype))

    def _pointer(self, kind: list[tirx.Var], name: str, dtype: str) -> tirx.Var:
        kind.append(tirx.Var(name, PointerType(PrimType(dtype))))
        return kind[-1]

    def _declare(self, name: str, size: int, dtype: str, pointer: tirx.Var, offset: int = 0) -> tirx.Buffer:
        buffer = tirx.decl_buffer((size,), dtype, name, pointer, elem_offset=offset)
        self._declarations.append(tirx.DeclBuffer(buffer, data=pointer))
        return buffer

    def _with_arguments(self, body: tirx.Stmt) -> tirx.PrimFunc:
        """Arguments that no two of which overlap, unless the kernel may work in place."""
        arguments = [*self._inputs, *self._constants, *self._working, *self._unpacked, *self._outputs]
        func = tirx.PrimFunc(arguments, tirx.SeqStmt([*self._declarations, body]))
        return func if self.in_place else func.with_attr("tirx.noalias", True)


@contextmanager
def function(group: Group, in_place: str | None = None) -> Iterator[Function]:
    """The body is written inside; afterwards ``kernel()`` has the result.

    ``in_place`` names an input whose memory may be the output's; without it LLVM assumes that no two arguments overlap.
    """
    built = Function(group, in_place)
    with IRBuilder() as builder, T.prim_func(is_private=True):
        yield built
    built.func = built._with_arguments(builder.get().body)


@contextmanager
def loop(count: int, extent: Index | None = None) -> Iterator[Index]:
    """A loop of ``extent`` rounds, known to be ``count``; one round is its body alone, where LLVM spills less."""
    if count == 1:
        yield 0
    else:
        with T.serial(0, count if extent is None else extent) as i:
            yield i


def lanes_of(size: int, most: int = 16) -> int:
    """The widest vector, a power of two up to ``most``, that ``size`` is a multiple of."""
    return gcd(size, most)


def load(buffer: tirx.Buffer, start: Index, lanes: int) -> tirx.PrimExpr:
    """``lanes`` consecutive elements."""
    return tirx.BufferLoad(buffer, [tirx.Ramp(start, 1, lanes) if lanes > 1 else start])


def store(buffer: tirx.Buffer, start: Index, value: tirx.PrimExpr, lanes: int) -> None:
    """Writes ``lanes`` consecutive elements."""
    T.buffer_store(buffer, value, [tirx.Ramp(start, 1, lanes) if lanes > 1 else start])


def splat(value: tirx.PrimExpr | int, dtype: str, lanes: int) -> tirx.PrimExpr:
    """One scalar in every lane, as ``dtype``."""
    scalar = tirx.const(value, dtype) if isinstance(value, int) else T.cast(value, dtype)
    return tirx.Broadcast(scalar, lanes) if lanes > 1 else scalar


def widen(value: tirx.PrimExpr, dtype: str, lanes: int) -> tirx.PrimExpr:
    """The same lanes as ``dtype``."""
    return T.cast(value, f"{dtype}x{lanes}" if lanes > 1 else dtype)


def local(size: int, dtype: str) -> tirx.Buffer:
    """Memory that LLVM keeps in registers where every index is a constant."""
    return T.alloc_buffer((size,), dtype, scope="local")


def wrapping_add(a: tirx.PrimExpr, b: tirx.PrimExpr, lanes: int) -> tirx.PrimExpr:
    """The sum of int32 vectors modulo 2**32, which a plain ``+`` does not define; LLVM makes it one instruction."""
    return widen(widen(a, "int64", lanes) + widen(b, "int64", lanes), "int32", lanes)
