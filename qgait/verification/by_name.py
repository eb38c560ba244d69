"""Runtimes by name: ``reference``, ``ort``, ``tosa``, ``npu``, or a target, which is compiled into a temporary bundle.

``npu`` and the names of Ethos-U parts are runtimes that interpret what Vela compiles.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.files import work_folder
from qgait.progress import Progress
from qgait.runtime.dequantizer import Dequantizer
from qgait.verification.parity import Clip, Codes, Runtime

if TYPE_CHECKING:
    from qgait.targets.accelerators import NpuTarget

UNCOMPILED = ("reference", "ort", "tosa")
NPU, DEFAULT_NPU = "npu", "ethos-u55-128"


@dataclass(frozen=True)
class OpenRuntime:
    """A runtime with the label it bears in tables."""

    label: str
    runtime: Runtime

    @property
    def name(self) -> str:
        """The label, for messages."""
        return self.label

    @property
    def dequantizer(self) -> Dequantizer:
        """See ``Runtime``."""
        return self.runtime.dequantizer

    def embed_many(self, clips: Sequence[Clip]) -> list[Codes]:
        """See ``Runtime``."""
        return self.runtime.embed_many(clips)

    def trace(self, clip: Clip) -> dict[str, Codes]:
        """See ``Runtime``."""
        return self.runtime.trace(clip)


def check_names(names: Iterable[str]) -> None:
    """Refuses an unknown runtime before any work is done."""
    from qgait.targets.processors import find

    for name in names:
        if name in UNCOMPILED:
            continue
        accelerator = _accelerator(name)
        if accelerator is not None:
            from qgait.verification.npu_runtime import require_interpreted

            require_interpreted(accelerator)
            continue
        try:
            find(name)
        except QgaitError as error:
            raise QgaitError(
                f"There is no runtime '{name}'.", f"use {', '.join((*UNCOMPILED, NPU))}, or a target; {error.fix}"
            ) from error


@contextmanager
def open_runtimes(
    names: Sequence[str], onnx: Path, graph: Graph, progress: Progress | None = None, all_levels: bool = True
) -> Iterator[Iterator[OpenRuntime]]:
    """Gives the runtimes, opened one after the other; ``ort`` is opened at all four optimization levels.

    Each one's temporary bundle is deleted when the next is opened or the block ends, however it ends.
    """
    with closing(_opened(names, onnx, graph, progress, all_levels)) as runtimes:
        yield runtimes


def _opened(
    names: Sequence[str], onnx: Path, graph: Graph, progress: Progress | None, all_levels: bool
) -> Generator[OpenRuntime, None, None]:
    for name in names:
        if name == "reference":
            from qgait.runtime.reference import Reference

            yield OpenRuntime("reference", Reference(graph))
        elif name == "ort":
            from qgait.runtime.ort import OPTIMIZATION_LEVELS, OnnxRuntime

            for level in OPTIMIZATION_LEVELS if all_levels else ["all"]:
                yield OpenRuntime(f"ort {level}", OnnxRuntime(onnx, level))
        elif name == "tosa":
            from qgait.runtime.tosa import TosaRuntime

            yield OpenRuntime("tosa", TosaRuntime(graph))
        elif (accelerator := _accelerator(name)) is not None:
            from qgait.verification.npu_runtime import NpuRuntime

            label = f"{NPU} {accelerator.name}" if name == NPU else name
            yield OpenRuntime(label, NpuRuntime.compile(graph, accelerator, progress))
        else:
            with work_folder() as folder:
                yield OpenRuntime(name, _compiled(name, graph, folder / "bundle", progress))


def _compiled(name: str, graph: Graph, folder: Path, progress: Progress | None) -> Runtime:
    """``graph`` compiled for the target ``name``, with what verification needs to name a layer."""
    from qgait.compiler.bundle import write
    from qgait.export.probe import probe_clips
    from qgait.runtime.compiled import Compiled
    from qgait.targets.processors import find

    return Compiled(write(graph, find(name), folder, probe_clips(graph), trace=True, progress=progress))


def _accelerator(name: str) -> NpuTarget | None:
    from qgait.targets.accelerators import find_npu

    return find_npu(DEFAULT_NPU if name == NPU else name)


def one_of_each_kind() -> list[str]:
    """All runtimes but targets that run the same kernels on the same emulator as one before them."""
    from qgait.targets.processors import all_targets

    kinds: dict[tuple[object, ...], str] = {}
    for target in all_targets():
        kinds.setdefault((target.isa, target.qemu), target.name)
    return [*UNCOMPILED, *kinds.values(), NPU]
