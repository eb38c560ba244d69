"""A graph written to an ONNX file, and what the file is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qgait.export.graph import Graph
from qgait.export.onnx.simplify import simplify
from qgait.export.onnx.writer import put, write
from qgait.export.probe import probe_clips
from qgait.files import check_file, require_space, work_folder

LARGER = 2  # bytes of a file for each parameter, at most: biases and multipliers are larger than weights
SPARE = 4 << 20  # bytes for nodes and metadata


@dataclass(frozen=True)
class OnnxFile:
    """``embedding`` is its shape (parts, channels); ``simplified`` says in a sentence what onnxsim did.

    ``macs_per_frame`` is the mean over a long clip: what has a stride does not run for every frame.
    """

    path: Path
    model: str
    bits: str
    operators: int
    parameters: int
    file_bytes: int
    macs_per_frame: int
    macs_per_embedding: int
    embedding: tuple[int, int]
    simplified: str

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        facts = asdict(self)
        del facts["path"], facts["simplified"]
        return facts


def write_file(graph: Graph, path: Path) -> OnnxFile:
    """Checks ``graph``, writes it to ``path`` in one move, and simplified if that provably changes nothing."""
    require_space(check_file(path).parent, LARGER * graph.parameters, str(path))
    with work_folder(2 * LARGER * graph.parameters + SPARE) as folder:
        aside = folder / path.name
        write(graph, aside)
        simplified = simplify(aside, graph, probe_clips(graph))
        put(aside.read_bytes(), path)
    parts, channels = graph.tensors[graph.output].shape
    return OnnxFile(
        path=path,
        model=graph.model,
        bits=graph.bits,
        operators=len(graph.ops),
        parameters=graph.parameters,
        file_bytes=path.stat().st_size,
        macs_per_frame=graph.frame_macs,
        macs_per_embedding=graph.clip_macs,
        embedding=(parts, channels),
        simplified=simplified,
    )
