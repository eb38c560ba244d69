"""The codes of every level, runtime and bundle on the same walks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qgait.errors import ParityError
from qgait.export.graph import Graph
from qgait.progress import Progress
from qgait.report.bundles import OpenBundle
from qgait.verification.bundle_runtime import BundleRuntime
from qgait.verification.by_name import open_runtimes
from qgait.verification.parity import Clip, Parity, compare, compare_fake, expected_codes, meaning_of

if TYPE_CHECKING:
    from qgait.quantizers.simulated import SimulatedNetwork


def prove(
    graph: Graph,
    network: SimulatedNetwork,
    onnx: Path,
    bundles: Sequence[OpenBundle],
    clips: Sequence[Clip],
    progress: Progress,
) -> tuple[dict[str, Any], list[str]]:
    """What ``qgait verify --json`` writes, of the reference, ONNX Runtime and the bundles that run here.

    And sentences about checks that failed before codes could be compared: a bundle whose self-test fails.
    """
    expected = expected_codes(graph, clips, progress)
    fake = compare_fake(network, graph, clips, expected, progress)
    meaning = meaning_of(network)
    with open_runtimes(("reference", "ort"), onnx, graph) as runtimes:
        results = {runtime.label: compare(runtime, graph, clips, expected, meaning=meaning) for runtime in runtimes}
    facts = Parity(len(clips), sum(codes.size for codes in expected), fake, results).to_dict()
    failures = []
    running = [opened for opened in bundles if opened.device is not None]
    for number, opened in enumerate(running):
        progress("comparing bundles", number, len(running))
        try:
            runtime = BundleRuntime(opened.bundle, opened.label)
            facts["runtimes"][opened.label] = asdict(compare(runtime, graph, clips, expected, meaning=meaning))
        except ParityError as error:
            failures.append(str(error))
        progress("comparing bundles", number + 1, len(running))
    return facts, failures
