"""Networks whose weights have few bits: as small as they say in the library, and equal in every code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_graphs import gaitbase_graph, gaitset_graph
from small_networks import clips, layers

from qgait.calibration.calibrate import calibrate
from qgait.compiler.bundle import write
from qgait.compiler.tvm.lowering import lower
from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.export.operators import Weighted
from qgait.quantizers.grid import Recipe
from qgait.runtime.compiled import Compiled
from qgait.targets.processors import find
from qgait.verification.parity import compare, expected_codes


def calibrated(name: str, bits: str, first_last: str) -> Graph:
    """A small network with odd numbers of channels."""
    recipe = replace(Recipe.parse(bits), first_last=first_last)
    return fold(calibrate(name, list(layers(name)), clips(3), recipe, "minmax")[0])


@pytest.mark.parametrize(
    ("name", "bits", "first_last", "target"),
    [
        ("gaitset", "w4a4", "8", "host"),
        ("gaitset", "w3a3", "same", "arm"),
        ("gaitset", "w2a2", "8", "cortex-m55"),
        ("gaitbase", "w4a4", "same", "cortex-m55"),
        ("gaitbase", "w3a3", "8", "cortex-m33"),
        ("gaitbase", "w2a2", "same", "armv7"),
        ("gaitbase", "w6a4", "same", "arm64-v8"),
    ],
)
def test_no_code_differs(name: str, bits: str, first_last: str, target: str, tmp_path: Path) -> None:
    graph = calibrated(name, bits, first_last)
    walks = [clips(2, 5)[0], clips(2, 5)[1][:2]]
    expected = expected_codes(graph, walks)
    bundle = write(graph, find(target), tmp_path / "bundle", walks)
    assert sum(f"weights of {bits[1]} bits" in note for note in bundle.manifest["notes"]) >= 4
    result = compare(Compiled(bundle), graph, walks, expected)
    assert (result.mismatches, result.max_difference) == (0, 0)


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
@pytest.mark.parametrize("target", ["host", "arm", "arm64-v8", "armv7", "cortex-m55", "cortex-m33"])
def test_published_networks_take_as_many_bytes_as_their_bits(target: str, bits: int) -> None:
    largest = 2 ** (bits - 1) - 1
    for whole in (gaitset_graph(), gaitbase_graph()):
        ops = [
            replace(op, weight=np.clip(op.weight, -largest, largest)) if isinstance(op, Weighted) else op
            for op in whole.ops
        ]
        graph = replace(whole, ops=tuple(ops))
        weighted = {op.name for op in ops if isinstance(op, Weighted)}
        kernels = [kernel for kernel in lower(graph, find(target)).kernels if weighted & set(kernel.ops)]
        stored = sum(max(array.nbytes for array in kernel.constants) for kernel in kernels)
        wanted = graph.parameters * bits / 8
        assert wanted <= stored <= 1.05 * wanted and graph.parameters > 2.5e6
        assert sum(op.weight_bytes for op in ops) == pytest.approx(wanted, abs=20)
