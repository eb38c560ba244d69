"""The exported file in ONNX Runtime, on the CPU."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.runtime.clips import require_clip
from qgait.runtime.dequantizer import Dequantizer
from qgait.shown import short

Codes = NDArray[np.int8]
OPTIMIZATION_LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
INSTALL = "install qgait[onnx]: onnxruntime 1.24 is the first that has it."


class OnnxRuntime:
    """The ``ort`` runtime.

    ``path`` is a file that ``qgait export`` wrote; ``level`` is one of "disabled", "basic", "extended", "all", ONNX
    Runtime's graph optimization levels; ``threads`` = 0 leaves their number to ONNX Runtime.

    Raises QgaitError when onnxruntime is missing or too old, when the file is not an unaltered export, or when its
    nodes are not those of the graph that it describes.
    """

    name = "ort"

    def __init__(self, path: Path, level: str = "all", threads: int = 0) -> None:
        probe()
        from qgait.export.onnx import reader as onnx_reader
        from qgait.export.onnx.own_nodes import require_own_nodes

        if level not in OPTIMIZATION_LEVELS:
            raise QgaitError(
                f"ONNX Runtime has no optimization level {level!r}.", f"use one of {', '.join(OPTIMIZATION_LEVELS)}."
            )
        self._model = onnx_reader.load(path)
        self.graph: Graph = onnx_reader.from_onnx(self._model, path)
        require_own_nodes(self._model, self.graph, path)
        self.dequantizer = Dequantizer.of(self.graph)
        self._path, self._level, self._threads = path, level, threads
        self._session = self._started(self._model)

    def embed(self, clip: NDArray[np.uint8]) -> Codes:
        """Embedding codes [P, C] of one clip [frames, H, W]."""
        return self._run(self._session, clip)[0][0]

    def embed_many(self, clips: Iterable[NDArray[np.uint8]]) -> list[Codes]:
        """One embedding a clip."""
        return [self.embed(clip) for clip in clips]

    def trace(self, clip: NDArray[np.uint8]) -> dict[str, Codes]:
        """Every tensor of the graph for one clip, by name, in the reference's layout.

        Frame tensors are [values, H, W, C] or [values, P, C], clip tensors [1, ...]. A simplified file lacks those of
        layers that change nothing, such as a window of one value.
        """
        values = self._run(self._tracing_session, clip)
        return {name: _channels_last(codes) for name, codes in zip(self._traced, values, strict=True)}

    @functools.cached_property
    def _traced(self) -> list[str]:
        """The tensors of the graph that the file computes, in execution order."""
        from qgait.export.onnx.names import value_name

        made = {output for node in self._model.graph.node for output in node.output}
        names = [self.graph.input, *(op.output for op in self.graph.ops)]
        return [name for name in names if value_name(self.graph, name) in made]

    @functools.cached_property
    def _tracing_session(self) -> Any:
        """A copy of the model whose outputs are the traced tensors."""
        import onnx

        from qgait.export.onnx.names import value_name

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        del model.graph.output[:]
        for tensor in self._traced:
            name = value_name(self.graph, tensor)
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, None))
        return self._started(model)

    def _started(self, model: Any) -> Any:
        try:
            return _session(model.SerializeToString(), self._level, self._threads)
        except Exception as error:  # its exception classes moved between releases
            raise self._refusal("refuses", error) from None

    def _run(self, session: Any, clip: NDArray[np.uint8]) -> list[Codes]:
        (source,) = session.get_inputs()
        height, width = source.shape[1:]
        require_clip(clip, height, width)
        try:
            return session.run(None, {source.name: clip})
        except Exception as error:
            raise self._refusal("cannot run", error) from None

    def _refusal(self, what: str, error: Exception) -> QgaitError:
        reason = short(" ".join(str(error).split()), 150)
        return QgaitError(f"ONNX Runtime {what} {self._path}: {reason}.", "export it again with `qgait export`.")


@functools.cache
def probe() -> str:
    """The version of ONNX Runtime. Raises QgaitError when it is missing or cannot convolve int8 by int8."""
    try:
        ort = import_module("onnxruntime")
        import_module("onnx")
    except ImportError as error:
        raise QgaitError(f"The runtime 'ort' needs {error.name or 'onnxruntime'}.", INSTALL) from error
    try:
        convolved = _session(_probe_model(), "disabled", 1).run(None, {"x": np.full((1, 1, 2, 2), -128, np.int8)})[0]
    except Exception as error:  # its exception classes moved between releases
        raise QgaitError(f"ONNX Runtime {ort.__version__} has no int8 by int8 ConvInteger.", INSTALL) from error
    if convolved.tolist() != [[[[-121 * 10, -121 * 5]] * 2]]:
        raise QgaitError(f"ONNX Runtime {ort.__version__} convolves int8 by int8 wrongly.", INSTALL)
    return str(ort.__version__)


def _probe_model() -> bytes:
    """``5 * (x + 7)`` summed over two columns; the third column is padding and must count as zero."""
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node("ConvInteger", ["x", "w", "z"], ["y"], pads=[0, 0, 0, 1])
    weight = np.array([[[[5, 5]]]], np.int8)
    graph = helper.make_graph(
        [node],
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.INT8, [1, 1, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 1, 2, 2])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array(-7, np.int8), "z")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


def _session(model: bytes, level: str, threads: int) -> Any:
    ort = import_module("onnxruntime")
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, OPTIMIZATION_LEVELS[level])
    options.intra_op_num_threads = threads
    # threads that wait by spinning take a small machine from everybody else: 10 ms a frame instead of 6 when it is busy
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised, too
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _channels_last(codes: Codes) -> Codes:
    return codes.transpose(0, 2, 3, 1) if codes.ndim == 4 else codes
