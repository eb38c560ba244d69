"""Optional simplification of an exported file by onnxsim, kept only when it is proven to change nothing.

The writer leaves nothing to simplify for the networks of this project, so that a file is the same wherever it is
written and can be compared node by node; onnxsim confirms that. Where it does find something, its result replaces the
file only if it is still all integers, still holds the same graph, ONNX Runtime computes the same codes from it, and
every node of it is one of the graph's. onnxsim is native code that now and then crashes, so it runs in a process of its
own. Packed weights are constants to it, which it would unpack for good: it sees the file with int8 weights, and what it
makes of that is packed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.onnx.arrays import arrays_of
from qgait.export.onnx.check import check_onnx
from qgait.export.onnx.metadata import DIGEST_KEY, metadata_of, set_metadata
from qgait.export.onnx.names import INPUT
from qgait.export.onnx.own_nodes import require_own_nodes
from qgait.export.onnx.packed_weights import pack_weights, unpack_weights
from qgait.export.onnx.reader import from_onnx, load
from qgait.export.onnx.writer import save
from qgait.files import work_folder

TIMEOUT = 300  # seconds
# The first two would drop arrays that the graph refers to by name: equal ones are merged, zero biases removed. The
# third would drop a layer.
SKIPPED = ("eliminate_duplicate_initializer", "eliminate_nop_with_unit", "fuse_consecutive_concats")


def simplify(path: Path, graph: Graph, clips: Sequence[NDArray[np.uint8]]) -> str:
    """Simplifies the export at ``path`` of ``graph`` if that changes no code; returns what was done, in a sentence.

    ``clips`` are silhouettes uint8 [frames, H, W] to compare embeddings on; at least one.
    """
    if not clips:
        raise ValueError("the simplified file must be compared on at least one clip")
    original = load(path)
    try:
        unpacked = onnx.ModelProto()
        unpacked.CopyFrom(original)
        unpack_weights(unpacked)
        candidate = _simplified(unpacked)
        if _computing(candidate) == _computing(unpacked):
            return f"onnxsim finds nothing to simplify in {len(original.graph.node)} nodes."
        pack_weights(candidate, graph)
        set_metadata(candidate, {e.key: e.value for e in original.metadata_props if e.key != DIGEST_KEY})
        _require_same(original, candidate, graph, path, clips)
    except _RefusedError as reason:
        return f"Kept the file as it was written: {reason}."
    save(candidate, path)
    nodes = f"{len(original.graph.node)} nodes became {len(candidate.graph.node)}"
    return f"Simplified by onnxsim: {nodes}, and the embeddings of {len(clips)} clips are the same bit for bit."


class _RefusedError(Exception):
    """Why the simplified file is not taken."""


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """What onnxsim makes of ``model``."""
    try:
        tool = f"onnxsim {version('onnxsim')}"
    except PackageNotFoundError:
        raise _RefusedError("onnxsim is not installed") from None
    with work_folder() as folder:
        source, result = folder / "model.onnx", folder / "simplified.onnx"
        source.write_bytes(model.SerializeToString())
        command = [sys.executable, "-m", "onnxsim", str(source), str(result), "--skip-optimization", *SKIPPED]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, cwd=folder, check=False)
        except subprocess.TimeoutExpired:
            raise _RefusedError(f"{tool} took longer than {TIMEOUT} s") from None
        if done.returncode or not result.is_file():
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise _RefusedError(f"{tool} ended with code {done.returncode} ({last})")
        try:
            return onnx.load(result)
        except DecodeError:
            raise _RefusedError(f"{tool} wrote a file that is not ONNX") from None


def _computing(model: onnx.ModelProto) -> bytes:
    """All of ``model`` but the shapes that it tells viewers, and the digest over them."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:], bare.metadata_props[:]
    return bytes(bare.SerializeToString(deterministic=True))


def _require_same(
    original: onnx.ModelProto,
    candidate: onnx.ModelProto,
    graph: Graph,
    path: Path,
    clips: Sequence[NDArray[np.uint8]],
) -> None:
    """Raises _RefusedError unless ``candidate`` is an integer model of ``graph`` that computes as ``original`` does."""
    try:
        check_onnx(candidate)
        found = from_onnx(candidate, path)
    except QgaitError as error:
        raise _RefusedError(f"the simplified file is refused ({error.problem.rstrip('.')})") from error
    if not _same_graph(found, graph):
        raise _RefusedError("the simplified file holds another graph")
    for number, (before, after) in enumerate(zip(_codes(original, clips), _codes(candidate, clips), strict=True)):
        if not np.array_equal(before, after):
            raise _RefusedError(f"the simplified file gives other codes on clip {number}")
    try:
        require_own_nodes(candidate, graph, path)
    except QgaitError as error:
        raise _RefusedError(f"what onnxsim did is not understood ({error.problem.rstrip('.')})") from error


def _same_graph(one: Graph, other: Graph) -> bool:
    """Equal in every number, name and array."""
    if metadata_of(one) != metadata_of(other):
        return False
    pairs = [(arrays_of(a), arrays_of(b)) for a, b in zip(one.ops, other.ops, strict=True)]
    return all(np.array_equal(a[field], b[field]) for a, b in pairs for field in b)


def _codes(model: onnx.ModelProto, clips: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.int8]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return [session.run(None, {INPUT: clip})[0] for clip in clips]
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise _RefusedError(f"ONNX Runtime refuses it ({' '.join(str(error).split())})") from error
