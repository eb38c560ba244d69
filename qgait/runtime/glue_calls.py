"""Calls of kernels in the generated C."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from qgait.runtime.tvm.program import C_TYPES, SILHOUETTE, Kernel, Program

Address = Callable[[str], str]  # the C expression for where a tensor is


class Calls:
    """Writes calls; ``constants`` has the offsets of every kernel's constants by its symbol."""

    def __init__(self, program: Program, constants: dict[str, list[int]]) -> None:
        self.program, self._constants = program, constants

    def call(self, kernel: Kernel, address: Address) -> list[str]:
        """A kernel on tensors at their addresses."""
        inputs = ["(const int8_t *)frame" if name == SILHOUETTE else address(name) for name in kernel.inputs]
        return self.call_on(kernel, inputs, address(kernel.output))

    def call_on(self, kernel: Kernel, inputs: Sequence[str], output: str) -> list[str]:
        """A kernel on pointers."""
        weights = [
            f"(const {C_TYPES[array.dtype.name]} *)(gait_weights + {offset})"
            for array, offset in zip(kernel.constants, self._constants[kernel.symbol], strict=True)
        ]
        scratch = [f"base + scratch_{kernel.symbol}"] if kernel.scratch_bytes else []
        size = self.program.graph.tensors[kernel.output].size
        number = (*self.program.frame, *self.program.clip).index(kernel)
        return [
            f"    /* {plain(', '.join(kernel.ops) or kernel.output)} */",
            f"    {kernel.symbol}({', '.join([*inputs, *weights, *scratch, output])});",
            f"    TRACE({number}, {output}, {size});",
        ]


def plain(text: str) -> str:
    """Names come from files of strangers: nothing of them ends a C string or comment."""
    return re.sub(r"[^\w .,+:-]", "_", text, flags=re.ASCII)
