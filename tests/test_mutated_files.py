"""A few hundred seeded mutations of every file that qgait reads back: a sentence, or a file that works."""

from __future__ import annotations

import functools
import random
import shutil
from pathlib import Path

import compiled_bundles
import pytest
from example_graphs import temporal_graph, tiny_graph
from file_mutations import CASES, fault, outcome
from small_networks import network

from qgait.export.onnx.writer import to_onnx
from qgait.quantizers import model_file
from qgait.runtime.bundle_manifest import MANIFEST

COUNTS = {
    "model JSON": 90,
    "model tensors": 50,
    "model bytes": 40,
    "ONNX metadata": 120,
    "ONNX tensors": 50,
    "ONNX protobuf": 50,
    "manifest": 250,
}


@functools.cache
def valid(case: str, number: int) -> bytes:
    """A file that works; ``number`` chooses one of several."""
    if case.startswith("ONNX"):
        return to_onnx((tiny_graph, temporal_graph)[number % 2]()).SerializeToString()
    if case == "manifest":
        return (compiled_bundles.bundle("tiny", "host").path / MANIFEST).read_bytes()
    path = compiled_bundles.folder() / "model.safetensors"
    model_file.save(network(*(("gaitset", "w3a3"), ("gaitbase", "w8a8"))[number % 2]), path)
    return path.read_bytes()


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.node.callspec.params["case"] == "manifest":
        shutil.copytree(compiled_bundles.bundle("tiny", "host").path, tmp_path / "b")
        return tmp_path / "b"
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_the_file_that_is_mutated_works(case: str, folder: Path) -> None:
    for number in range(2):
        assert outcome(case, valid(case, number), folder) is None


@pytest.mark.parametrize("case", CASES)
def test_mutations_end_in_a_sentence_or_in_a_file_that_works(case: str, folder: Path) -> None:
    refused = 0
    for seed in range(COUNTS[case]):
        rng = random.Random(f"{case} {seed}")
        what, content = CASES[case](valid(case, seed), rng)
        try:
            error = outcome(case, content, folder)
        except BaseException as defect:
            pytest.fail(f"seed {seed} ({what}): {defect!r:.200}")
        if error is not None:
            refused += 1
            wrong = fault(error, folder)
            assert wrong is None, f"seed {seed} ({what}): {wrong}"
    assert refused > COUNTS[case] / 4, "mutations have to be seen"
