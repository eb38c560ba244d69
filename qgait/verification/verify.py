"""The whole proof of one network: every runtime that is asked for against simulated quantization."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qgait.export.graph import Graph
from qgait.files import work_folder
from qgait.progress import Progress, untold
from qgait.verification.by_name import check_names, open_runtimes
from qgait.verification.parity import (
    Clip,
    Parity,
    RuntimeResult,
    check_model,
    compare,
    compare_fake,
    expected_codes,
    meaning_of,
)

if TYPE_CHECKING:
    from qgait.quantizers.simulated import SimulatedNetwork

DEFAULT_RUNTIMES = ("reference", "ort", "host", "arm")
FRAMES = 12  # of a sequence unless others are asked for: half a gait cycle; a difference shows in the first few


def verify(
    graph: Graph,
    network: SimulatedNetwork,
    clips: Sequence[Clip],
    runtimes: Sequence[str] = DEFAULT_RUNTIMES,
    onnx: Path | None = None,
    progress: Progress = untold,
) -> Parity:
    """Compares the file with a fresh fold of ``network``, and every code of every embedding of ``clips``.

    ``clips`` are uint8 [frames, H, W]. ``onnx`` is the file that ``graph`` was read from; without it ``graph`` itself
    is compared with the fold, and ONNX Runtime gets a file that is written for it.
    QgaitError for an unknown runtime and for a network of another shape, ParityError when the codes do not vary.
    """
    from qgait.export.folding import fold
    from qgait.export.onnx.reader import load
    from qgait.export.onnx.writer import write
    from qgait.verification.fresh_export import file_differences

    check_names(runtimes)
    check_model(network, graph)
    expected = expected_codes(graph, clips, progress)
    fake = compare_fake(network, graph, clips, expected, progress)
    meaning = meaning_of(network)
    results: dict[str, RuntimeResult] = {}
    with work_folder() as folder:
        if onnx is None:
            onnx = folder / "model.onnx"
            write(graph, onnx)
        differences = file_differences(load(onnx), fold(network))
        with open_runtimes(runtimes, onnx, graph, progress) as opened:
            for runtime in opened:
                results[runtime.label] = compare(runtime, graph, clips, expected, progress, meaning)
    return Parity(len(clips), sum(codes.size for codes in expected), fake, results, tuple(differences))
