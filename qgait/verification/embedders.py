"""A model file at one of its levels, as something that turns clips into embeddings."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qgait.data import opengait
from qgait.data.selection import load_clips
from qgait.data.silhouettes import threshold
from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.files import work_folder
from qgait.progress import Progress, untold
from qgait.runtime.clips import require_clip
from qgait.runtime.dequantizer import Dequantizer
from qgait.verification.host_integers import HOST, host_runtime, installed
from qgait.verification.parity import Clip, Codes

LEVELS = ("float", "fake", "int")
DEFAULT_RUNTIME = "ort"
MANY = 10  # sequences, for which compiling pays: the library of this machine is up to 60 times as fast as ONNX Runtime
AT_ONCE = 32  # sequences handed to a runtime together


class Embedder(Protocol):
    """``level`` and ``runtime`` say what computes; a level below float has codes."""

    model: str
    level: str
    runtime: str

    def embed_many(self, clips: Sequence[Clip]) -> NDArray[np.float32]:
        """Real embeddings [N, P, C] of clips uint8 [n, H, W]."""

    def codes_many(self, clips: Sequence[Clip]) -> NDArray[np.int8] | None:
        """Embedding codes [N, P, C], or None at the float level."""


class _Embeds(Protocol):
    def embed_many(self, clips: Sequence[Clip]) -> list[Codes]: ...


def embed_sequences(
    embedders: Sequence[Embedder],
    sequences: Sequence[opengait.Sequence],
    frames: int | None = None,
    binary: bool = False,
    progress: Progress = untold,
) -> list[NDArray[np.float32]]:
    """Real embeddings [N, P, C] by each embedder; the silhouettes are loaded once.

    Of each sequence the first ``frames`` frames, or all; ``binary``: thresholded at 128.
    """
    parts: list[list[NDArray[np.float32]]] = [[] for _ in embedders]
    for start in range(0, len(sequences), AT_ONCE):
        clips = load_clips(sequences[start : start + AT_ONCE], frames=frames)
        if binary:
            clips = [threshold(clip) for clip in clips]
        for embedder, part in zip(embedders, parts, strict=True):
            part.append(embedder.embed_many(clips))
        progress("embedding sequences", min(start + AT_ONCE, len(sequences)), len(sequences))
    return [np.concatenate(part) for part in parts]


@dataclass
class IntEmbedder:
    """Codes from a runtime, and what they mean."""

    model: str
    level: str
    runtime: str
    executor: _Embeds
    dequantizer: Dequantizer

    def codes_many(self, clips: Sequence[Clip]) -> NDArray[np.int8]:
        """See ``Embedder``."""
        return np.stack(self.executor.embed_many(clips))

    def embed_many(self, clips: Sequence[Clip]) -> NDArray[np.float32]:
        """See ``Embedder``."""
        return self.dequantizer.real(self.codes_many(clips))


class FloatEmbedder:
    """The float level of a checkpoint."""

    level = "float"
    runtime = "torch"

    def __init__(self, path: Path) -> None:
        from qgait.models import checkpoint
        from qgait.models.backbone import describe
        from qgait.quantizers import float_arithmetic

        model = checkpoint.load(path)
        self.model, layers = model.name, describe(model)
        self._embed = lambda clip: float_arithmetic.embed(layers, clip)

    def codes_many(self, clips: Sequence[Clip]) -> None:
        """See ``Embedder``."""
        return

    def embed_many(self, clips: Sequence[Clip]) -> NDArray[np.float32]:
        """See ``Embedder``."""
        return np.stack([self._embed(clip) for clip in clips])


class _Simulation:
    def __init__(self, path: Path) -> None:
        from qgait.quantizers import model_file

        self.network = model_file.load(path)

    def embed_many(self, clips: Sequence[Clip]) -> list[Codes]:
        for clip in clips:
            require_clip(clip, *self.network.frame_size)
        return [self.network.embed(clip) for clip in clips]


def open_embedder(path: Path, level: str, runtime: str | None, stack: ExitStack, sequences: int = 1) -> Embedder:
    """``path`` is a float checkpoint, a quantized model, an ONNX file or a bundle; ``stack`` owns temporary files.

    Without a ``runtime`` integers run in ONNX Runtime, or for many ``sequences`` compiled for this machine, where TVM
    and zig are installed: codes are the same.
    Raises QgaitError when the file has no such level, or the level no such runtime.
    """
    if level not in LEVELS:
        raise QgaitError(f"'{level}' is not a level.", f"choose one of {', '.join(LEVELS)}.")
    if level != "int" and runtime is not None:
        raise QgaitError(
            f"The {level} level runs in torch only, not in '{runtime}'.", "leave `runtime` out, or use `level=int`."
        )
    if not path.exists():
        raise QgaitError(f"There is no {path}.", "check the path.")
    compiled = path.is_dir() or path.suffix == ".onnx"
    if level != "int" and compiled:
        raise QgaitError(
            f"{path} holds integers only, not the {level} level.", "give the model that it was exported from."
        )
    if level == "float":
        from qgait.quantizers.network_file import is_quantized

        if is_quantized(path):
            raise QgaitError(f"{path} holds integers only, not the float level.", "give the float checkpoint.")
        return FloatEmbedder(path)
    if level == "fake":
        simulation = _Simulation(path)
        return _int_embedder(_graph(path, simulation), "fake", "torch", simulation)
    if path.is_dir():
        return _bundle(path, runtime)
    if runtime is None and sequences > MANY and installed():
        try:
            return _integer(path, HOST, stack)
        except QgaitError as error:
            print(f"{error.problem} So ONNX Runtime computes the integers, which takes longer.", file=sys.stderr)
    return _integer(path, runtime or DEFAULT_RUNTIME, stack)


def _int_embedder(graph: Graph, level: str, runtime: str, executor: _Embeds) -> IntEmbedder:
    return IntEmbedder(graph.model, level, runtime, executor, Dequantizer.of(graph))


def _graph(path: Path, simulation: _Simulation | None = None) -> Graph:
    if path.suffix == ".onnx":
        from qgait.export.onnx.reader import read

        return read(path)
    from qgait.export.folding import fold

    return fold((simulation or _Simulation(path)).network)


def _bundle(path: Path, runtime: str | None) -> IntEmbedder:
    from qgait.runtime.bundle import Bundle
    from qgait.runtime.compiled import Compiled

    bundle = Bundle.open(path)
    if runtime not in (None, bundle.target_name):
        raise QgaitError(f"{path} was compiled for {bundle.target_name}, not {runtime}.", "leave `runtime` out.")
    compiled = Compiled(bundle)
    return IntEmbedder(bundle.model, "int", bundle.target_name, compiled, compiled.dequantizer)


def _integer(path: Path, runtime: str, stack: ExitStack) -> IntEmbedder:
    from qgait.verification.by_name import check_names, open_runtimes

    check_names([runtime])
    graph = _graph(path)
    if runtime == HOST:
        host = stack.enter_context(host_runtime(graph, len(os.sched_getaffinity(0))))
        return _int_embedder(graph, "int", runtime, host)
    onnx = path
    if path.suffix != ".onnx" and runtime == "ort":
        from qgait.export.onnx.writer import write

        onnx = stack.enter_context(work_folder()) / "model.onnx"
        write(graph, onnx)
    opened = next(stack.enter_context(open_runtimes([runtime], onnx, graph, all_levels=False)))
    return _int_embedder(graph, "int", runtime, opened)
