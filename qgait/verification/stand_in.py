"""The library beside an NPU on this machine: the same generated C, and a Python function in the place of the NPU.

The kernels are compiled for this processor. What a run reads and writes goes through its scratch memory, at Vela's
offsets, and everything else in there is spoiled before outputs are written: a wrong offset or a tensor that was thought
to survive gives wrong codes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.assembly import Assembly
from qgait.compiler.link import Linker
from qgait.compiler.npu.call import NpuCall
from qgait.errors import ParityError
from qgait.export.graph import Graph
from qgait.runtime.bundle_names import Names
from qgait.runtime.ethosu.segment import CompiledSegment
from qgait.runtime.library import Library
from qgait.targets.processors import host

Codes = NDArray[np.int8]
Run = Callable[[CompiledSegment, Mapping[str, Codes]], Mapping[str, Codes]]
SPOILED = 0x5A
_Runner = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_char_p), ctypes.POINTER(ctypes.c_int8))


def build(assembly: Assembly, folder: Path) -> Path:
    """The shared library of an ``assembly`` for this machine, linked in ``folder``."""
    linker = Linker(host(), folder)
    linker.archive(assembly, folder)
    linker.shared(folder, "npu_double.c")
    return folder / Names().shared


class StandIn:
    """One walker at a time; ``run(compiled segment, codes by name)`` computes what the NPU would.

    ``library`` is what ``build`` made of a program for ``graph`` with the runs ``calls``; it may be gone afterwards.
    """

    def __init__(self, library: Path, graph: Graph, calls: Sequence[NpuCall], run: Run) -> None:
        self._graph, self._run = graph, run
        self._calls = {call.segment.name: call for call in calls}
        self._failure: Exception | None = None
        self._library = Library(library, Names())
        self._callback = _Runner(self._answer)
        self._arena = ctypes.create_string_buffer(self._library.arena_size())
        self.reset()

    def reset(self) -> None:
        """Forgets every frame."""
        self._library.reset(self._arena)

    def push(self, frame: NDArray[np.uint8]) -> None:
        """Takes a silhouette uint8 [H, W]."""
        pixels = np.ascontiguousarray(frame)
        self._library.loaded.gait_npu_stand_in(self._callback)
        self._check(self._library.push(self._arena, pixels.ctypes.data))

    def embedding(self) -> Codes:
        """Codes int8 [parts, channels] of everything pushed so far; pushing may go on."""
        codes = np.empty(self._graph.tensors[self._graph.output].shape, np.int8)
        self._library.loaded.gait_npu_stand_in(self._callback)
        self._check(self._library.embedding(self._arena, codes.ctypes.data))
        return codes

    def embed_many(self, clips: Iterable[NDArray[np.uint8]]) -> list[Codes]:
        """One embedding a clip uint8 [frames, H, W]."""
        found = []
        for clip in clips:
            self.reset()
            for frame in clip:
                self.push(frame)
            found.append(self.embedding())
        return found

    def _check(self, answer: int) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if answer != 0:
            raise ParityError(f"The library beside the NPU answered {answer}.")

    def _answer(self, stream: ctypes._Pointer[ctypes.c_char_p], scratch: ctypes._Pointer[ctypes.c_int8]) -> int:
        """``gait_npu_run``; an exception cannot pass through C and waits for `_check`."""
        try:
            call = self._calls[(stream[0] or b"").decode()]
            region = np.ctypeslib.as_array(scratch, (call.scratch_bytes,))
            inputs = {
                port.name: region[port.offset : port.offset + port.size].reshape(port.shape).copy()
                for port in call.compiled.inputs
            }
            outputs = self._run(call.compiled, inputs)
            region[:] = SPOILED
            for port in call.compiled.outputs:
                region[port.offset : port.offset + port.size] = outputs[port.name].ravel()
        except Exception as error:
            self._failure = error
            return -1
        return 0
