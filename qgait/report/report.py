"""Everything that a report says about one model, measured here: as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qgait.data.opengait import Dataset
from qgait.data.selection import load_clips, spread
from qgait.errors import ParityError, QgaitError
from qgait.evaluation.protocols import check_protocol
from qgait.export.graph import Graph
from qgait.export.onnx.reader import read
from qgait.progress import Progress
from qgait.report import facts, kernels, network, pictures
from qgait.report.bundles import OpenBundle, open_bundles
from qgait.report.float_network import float_layers
from qgait.report.layer_errors import layer_errors
from qgait.report.proof import prove
from qgait.report.recognition import recognition
from qgait.runtime.benchmark import bench
from qgait.verification.verify import FRAMES

if TYPE_CHECKING:
    from qgait.quantizers.simulated import SimulatedNetwork

TRACED = 4  # walks that are compared layer by layer


def measure(
    onnx: Path,
    model: Path,
    checkpoint: Path | None,
    dataset: Dataset,
    bundles: Sequence[Path],
    protocol: str,
    sequences: int,
    frames: int | None,
    progress: Progress,
) -> dict[str, Any]:
    """Proves, evaluates and measures the network in ``onnx``, exported from ``model``, and its ``bundles``.

    ``checkpoint`` is the float network that ``model`` was made from, for comparison, if there is one.
    ``sequences`` walks of ``dataset`` are compared code by code; people are recognised on all of its test walks. Of
    each the first ``frames`` frames are looked at; None: 12 for comparing, which emulators are slow at, else all.
    What cannot be run here, or cannot be told from the data, is said in the result. QgaitError for input that does not
    belong together, ParityError where codes do not vary.
    """
    from qgait.quantizers import model_file

    check_protocol(protocol)
    if sequences < 1:
        raise QgaitError(f"{sequences} sequences prove nothing.", "compare one or more.")
    graph, simulated = read(onnx), model_file.load(model)
    real_layers = None if checkpoint is None else float_layers(checkpoint, simulated)
    opened = open_bundles(bundles, graph)
    clips = load_clips(spread(dataset.sequences, sequences), progress, frames or FRAMES)
    verify, failures = prove(graph, simulated, onnx, opened, clips, progress)
    traced = load_clips(spread(dataset.sequences, TRACED), frames=frames or FRAMES)
    errors = layer_errors(simulated, graph, real_layers, traced, progress)
    whole = [each for each in opened if each.label in verify["runtimes"] or each.device is None]
    recognised = recognition(checkpoint, model, onnx, whole, dataset, protocol, frames, progress)
    benchmarks, unmeasured = _bench(whole, progress)
    failures += [
        f"{name}: {result['mismatches']} codes differ."
        for name, result in verify["runtimes"].items()
        if result["mismatches"]
    ]
    unchecked = [each.refusal for each in opened if each.device is None] + unmeasured
    places = {each.label: each.place for each in opened}
    return {
        "verdict": facts.verdict(verify, errors, failures, unchecked, places),
        "table": facts.table(verify, recognised["results"], benchmarks, _sizes(graph, model, onnx)),
        "data": {
            "people": len(dataset.subjects),
            "sequences": len(dataset.sequences),
            "traced": len(traced),
            "frames_compared": frames or FRAMES,
        },
        "recognition": recognised,
        "silhouettes": pictures.strips(dataset.sequences),
        "network": network.describe(graph, simulated.weight_bits),
        "errors": errors,
        "kernels": [kernels.describe(each) for each in whole],
        "provenance": _provenance(simulated, model, onnx),
        "versions": facts.versions(),
    }


def _bench(bundles: Sequence[OpenBundle], progress: Progress) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What ``qgait bench --json`` writes, by label, and sentences about what could not be measured."""
    found, unmeasured = {}, []
    running = [each for each in bundles if each.device is not None]
    for number, opened in enumerate(running):
        progress("measuring bundles", number, len(running))
        assert opened.device is not None
        try:
            found[opened.label] = bench(opened.bundle, opened.device).to_dict()
        except QgaitError as error:  # counting needs an emulator with plugins and a C compiler
            unmeasured.append(f"{opened.label} was not measured: {error.problem} Fix: {error.fix}")
        progress("measuring bundles", number + 1, len(running))
    return found, unmeasured


def _sizes(graph: Graph, model: Path, onnx: Path) -> dict[str, int]:
    return {"float": 4 * graph.parameters, "fake": model.stat().st_size, "ort": onnx.stat().st_size}


def _provenance(simulated: SimulatedNetwork, model: Path, onnx: Path) -> Mapping[str, Any]:
    how = "trained on few bits" if simulated.trained else "calibrated"
    return {"model": model.name, "ONNX file": onnx.name, "quantized": f"{simulated.recipe}, {how}"}


def require(found: Mapping[str, Any], where: str) -> None:
    """ParityError if the promise did not hold, with the sentences of what failed or ``where`` to look."""
    verdict = found["verdict"]
    if not verdict["holds"]:
        raise ParityError(" ".join(verdict["failures"]) or f"Codes differ: see {where}.")
