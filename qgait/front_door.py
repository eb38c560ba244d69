"""What ``import qgait`` offers: one function a step, from a checkpoint to embeddings on a board.

Clips are uint8 [frames, 64, 44], background 0 and person 255; [frames, 64, 64] are taken too, and cut. Where ``data``
is asked for, give a folder in OpenGait's layout or a list of clips. ``progress(what, done, total)`` is told how far the
work is. Everything raises QgaitError, with one sentence and the fix, for what it cannot use.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qgait.errors import QgaitError
from qgait.progress import Progress, untold

if TYPE_CHECKING:
    from qgait.export.graph import Graph
    from qgait.export.onnx.exported import OnnxFile
    from qgait.models.backbone import Backbone
    from qgait.quantizers.simulated import SimulatedNetwork
    from qgait.runtime.runnable import RunnableBundle
    from qgait.verification.parity import Parity

Clip = NDArray[np.uint8]
PathLike = str | os.PathLike[str]
Data = PathLike | Sequence[NDArray[Any]]


def load(path: PathLike, model: str | None = None) -> Backbone | SimulatedNetwork:
    """The network in a file.

    A float checkpoint (OpenGait's or qgait's .pt, a bare state dict, .safetensors) gives a ``Backbone``, float32, in
    eval mode; ``model`` is the backbone's name where the weights do not tell it, and refuses every other one. A model
    that `qgait calibrate` or `qgait train --bits` wrote gives the quantized ``SimulatedNetwork``. Nothing in the file
    is executed. Needs torch.
    """
    from qgait.quantizers.network_file import load

    return load(Path(path), model)


def calibrate(
    network: Backbone,
    data: Data,
    bits: str = "w8a8",
    *,
    first_last: str = "8",
    method: str = "mse",
    sequences: int = 48,
    partition: str | None = None,
    progress: Progress = untold,
) -> SimulatedNetwork:
    """``network`` on integer grids, chosen from a few walks without training. Needs torch.

    ``bits`` of weights and activations, "w2a2" to "w8a8"; the first and last layer have ``first_last``, "8" or "same".
    ``method`` chooses ranges: "mse", "percentile" or "minmax". Of a folder, ``sequences`` are looked at, spread over
    people and conditions, with ``partition`` (a name or a file) over its training people; of a list, every clip. At
    least two clips. `qgait.calibration.from_silhouettes` also gives the report of every range.
    """
    from qgait.calibration.from_silhouettes import calibrate_network

    return calibrate_network(network, _place(data), bits, first_last, method, sequences, partition, progress)[0]


def fold(model: SimulatedNetwork) -> Graph:
    """The integer graph of a quantized network, checked: int8 tensors, int32 accumulators, every scale a multiplier.

    QgaitError where an invariant of docs/integers.md is broken, such as an accumulator that could overflow.
    """
    from qgait.export.checks import check_graph
    from qgait.export.folding import fold

    if not hasattr(model, "recipe"):
        raise QgaitError("This network is not quantized.", "calibrate it first: qgait.calibrate(network, data).")
    graph = fold(model)
    check_graph(graph)
    return graph


def write_onnx(graph: Graph, path: PathLike) -> OnnxFile:
    """Writes ``graph`` to ``path`` in one move, as ONNX without a float between silhouettes and embedding codes.

    The input is uint8 [frames, 64, 44], the output int8 [1, parts, channels]. The file is simplified where onnxsim is
    installed, if that provably changes nothing. The result tells sizes and multiply-accumulates. Needs onnx.
    """
    from qgait.export.onnx.exported import write_file

    return write_file(graph, Path(path))


def read_onnx(path: PathLike) -> Graph:
    """The graph in a file that ``write_onnx`` wrote, every array bit for bit. Needs onnx.

    QgaitError when the file is damaged, was changed since, or is not qgait's.
    """
    from qgait.export.onnx.reader import read

    return read(Path(path))


def verify(
    onnx: Graph | PathLike,
    model: SimulatedNetwork,
    data: Data,
    runtimes: Sequence[str] | None = None,
    *,
    sequences: int = 50,
    frames: int | None = 12,
    progress: Progress = untold,
) -> Parity:
    """Compares ``onnx``, a file or a graph, with the ``model`` that it was made from: every constant, then every code.

    ``runtimes``: "reference", "ort", "tosa", "npu" or names of `qgait targets`; by default reference, ort, host and
    arm. A target is compiled, and emulated where it is another processor. Of a folder, ``sequences`` are compared, of
    each the first ``frames``, or all of them for None; of a list, the first ``frames`` of every clip. The result
    ``holds`` if nothing differs; ``file`` lists constants that do, ``runtimes`` counts codes and real numbers and names
    the first layer. ParityError if the codes are all the same, which would prove nothing.
    """
    from qgait.data.selection import clips_of
    from qgait.verification.verify import DEFAULT_RUNTIMES, verify

    graph, path = _graph(onnx)
    clips = clips_of(_place(data), sequences, frames, progress)
    return verify(graph, model, clips, runtimes or DEFAULT_RUNTIMES, path, progress)


def compile(
    graph: Graph | PathLike,
    target: str,
    out: PathLike,
    *,
    data: Data | None = None,
    prefix: str = "gait",
    trace: bool = False,
    flash: str | None = None,
    ram: str | None = None,
    system_config: str | None = None,
    memory_mode: str | None = None,
    vela_config: PathLike | None = None,
    sram: str | None = None,
    host_fallback: bool = True,
    host: str | None = None,
    progress: Progress = untold,
) -> RunnableBundle:
    """Compiles ``graph``, or an ONNX file of it, for ``target`` (`qgait targets`) into the bundle folder ``out``.

    A bundle at ``out`` is replaced, anything else there is refused. Its self-test is made of ``data``, or of synthetic
    walkers, and runs at once where this machine can: ParityError if it fails. The files and C names of the bundle begin
    with ``prefix``. ``trace`` adds a program that writes down every kernel's result. For a Cortex-M, ``flash`` and
    ``ram`` ("4M", "512k" or bytes) bound code with weights, and the arena. The others are for an Ethos-U: Vela's
    ``system_config`` and ``memory_mode``, or those in the file ``vela_config``; ``sram`` bounds a command stream;
    ``host`` is the processor beside it; without ``host_fallback`` a network that the NPU does not run whole is refused.
    Needs TVM and zig, for an Ethos-U also Vela.
    """
    from qgait.compiler.options import CompileOptions
    from qgait.runtime.runnable import RunnableBundle
    from qgait.verification.proven_bundle import compile_proven

    options = CompileOptions(
        prefix=prefix,
        trace=trace,
        flash=flash,
        ram=ram,
        system_config=system_config,
        memory_mode=memory_mode,
        vela_config=None if vela_config is None else Path(vela_config),
        sram=sram,
        host_fallback=host_fallback,
        host=host,
    )
    options.check(target, Path(out))
    walks = None if data is None else _place(data)
    made = compile_proven(_graph(graph)[0], target, Path(out), walks, options, progress)
    return RunnableBundle(made.bundle.path, made.bundle.manifest)


def open_bundle(path: PathLike) -> RunnableBundle:
    """The bundle in a folder, every file compared with its sha256. Needs numpy alone, and so does embedding with it.

    ``bundle.embed(clip)`` gives codes int8 [parts, channels], ``bundle.stream()`` takes frame after frame; the
    embedding is ``(codes - bundle.zero_point) * bundle.scale[:, None]``. They need a bundle for this machine, or QEMU.
    """
    from qgait.runtime.bundle import Bundle
    from qgait.runtime.runnable import RunnableBundle

    bundle = Bundle.open(path)
    return RunnableBundle(bundle.path, bundle.manifest)


def align(pictures: Iterable[NDArray[np.uint8] | NDArray[np.bool_]]) -> Clip:
    """Raw silhouettes of one walk as networks take them: uint8 [n, 64, 44]. Needs numpy alone.

    ``pictures`` are [h, w] of any size, uint8 with the person at 255 or boolean; those with hardly anybody are left
    out, as `qgait data prepare` does. QgaitError when nobody is left.
    """
    from qgait.data.align import align_walk

    return align_walk(pictures)


def distance(a: ArrayLike, b: ArrayLike, scale: ArrayLike | None = None) -> float | NDArray[np.float32]:
    """How far embeddings are apart: the mean over the parts of the Euclidean distance. Needs numpy alone.

    ``a`` and ``b`` are real embeddings, or codes with the ``scale`` of their parts, float32 [parts]. Of two embeddings
    [parts, channels] it is one number; of [n, parts, channels] and [m, parts, channels] an array float32 [n, m].
    """
    from qgait.evaluation.embedding_distance import distance

    return distance(a, b, scale)


def _place(data: Data) -> Path | Sequence[NDArray[Any]]:
    return Path(data) if isinstance(data, (str, os.PathLike)) else data


def _graph(onnx: Graph | PathLike) -> tuple[Graph, Path | None]:
    """The graph, and the file if it is from one."""
    if isinstance(onnx, (str, os.PathLike)):
        return read_onnx(onnx), Path(onnx)
    return onnx, None
