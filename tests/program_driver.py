"""Runs whole compiled programs: ``trace`` is the compiled twin of ``qgait.runtime.reference.trace``.

Every tensor of one clip, to be compared code by code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from kernel_driver import ANYTHING, Calls, build_driver, run
from numpy.typing import NDArray

from qgait.compiler.tvm.program import SILHOUETTE, Kernel, Program
from qgait.export.operators import FrameMax

Codes = NDArray[np.int8]
LOWEST = b"\x80"  # of a running maximum


class Clip:
    """The calls for one clip.

    With ``in_place`` an output takes the memory of an input where the kernel allows it and nobody else reads it.
    """

    def __init__(self, program: Program, in_place: bool = False) -> None:
        self.program, self.in_place = program, in_place
        self.moved: dict[str, str] = {}
        self.kernels = program.kernels
        self.states = {op.output for op in program.graph.ops if isinstance(op, FrameMax)}
        self.calls = Calls()
        self.made: list[str] = []

    def _place(self, tensor: str, frame: int) -> str:
        per_frame = tensor == SILHOUETTE or self.program.graph.tensors[tensor].per_frame
        name = f"{tensor} {frame}" if per_frame else tensor
        return self.moved.get(name, name)

    def _shares(self, kernel: Kernel) -> bool:
        if not self.in_place or kernel.in_place is None or kernel.in_place in self.states:
            return False
        return all(op.name in kernel.ops for op in self.program.graph.readers(kernel.in_place))

    def frame(self, pixels: NDArray[np.uint8], number: int) -> None:
        """Everything that runs for one silhouette."""
        self.calls.given(self._place(SILHOUETTE, number), pixels.tobytes())
        for kernel in self.kernels:
            if kernel in self.program.frame:
                self._call(kernel, number)

    def embedding(self) -> None:
        """Everything that runs for an embedding."""
        for kernel in self.kernels:
            if kernel in self.program.clip:
                self._call(kernel, 0)

    def _call(self, kernel: Kernel, frame: int) -> None:
        constants = [f"{kernel.symbol} constant {i}" for i in range(len(kernel.constants))]
        for name, array in zip(constants, kernel.constants, strict=True):
            self.calls.given(name, array.tobytes(), 64)
        scratch = {f"{kernel.symbol} {name}": size for name, (_, size) in kernel.working.items()}
        for name, size in scratch.items():
            self.calls.scratch(name, size)
        output = self._place(kernel.output, frame)
        if kernel.in_place is not None and self._shares(kernel):
            self.moved[output] = output = self._place(kernel.in_place, frame)
        if output not in self.calls.buffers:
            fill = LOWEST if kernel.output in self.states else ANYTHING
            self.calls.written(output, fill * self.program.graph.tensors[kernel.output].size)
        inputs = [self._place(name, frame) for name in kernel.inputs]
        self.calls.call(self.kernels.index(kernel), [*inputs, *constants, *scratch, output])
        self.made.append(kernel.output)


def trace(program: Program, clip: NDArray[np.uint8], folder: Path, in_place: bool = False) -> dict[str, Codes]:
    """Every tensor that a kernel writes: frame tensors [frames, ...], clip tensors [1, ...] with all frames seen."""
    made = Clip(program, in_place)
    for number, pixels in enumerate(clip):
        made.frame(pixels, number)
    made.embedding()
    codes, start = run(build_driver(made.kernels, program.target, folder), made.calls, program.target), 0
    tensors: dict[str, list[Codes]] = {}
    for name in made.made:
        tensor = program.graph.tensors[name]
        shaped = codes[start : start + tensor.size].reshape(tensor.shape)
        tensors[name] = [*(tensors.get(name, []) if tensor.per_frame else []), shaped]
        start += tensor.size
    assert start == len(codes)
    return {name: np.stack(seen) for name, seen in tensors.items()}
