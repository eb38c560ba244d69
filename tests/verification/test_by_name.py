"""Runtimes by name are closed however the block ends that uses them."""

from __future__ import annotations

from pathlib import Path

import pytest
from compiled_bundles import graph

from qgait.errors import ParityError
from qgait.runtime.compiled import Compiled
from qgait.verification.by_name import OpenRuntime, open_runtimes


def folder_of(opened: OpenRuntime) -> Path:
    assert isinstance(opened.runtime, Compiled)
    return opened.runtime.bundle.path


def test_a_temporary_bundle_is_there_until_the_next_runtime(tmp_path: Path) -> None:
    with open_runtimes(["host", "reference"], tmp_path / "no.onnx", graph("tiny")) as runtimes:
        folder = folder_of(next(runtimes))
        assert folder.is_dir()
        assert next(runtimes).label == "reference"
        assert not folder.exists()


def test_a_comparison_that_stops_leaves_nothing(tmp_path: Path) -> None:
    seen: list[Path] = []
    with pytest.raises(ParityError), open_runtimes(["host"], tmp_path / "no.onnx", graph("tiny")) as runtimes:
        for opened in runtimes:
            seen.append(folder_of(opened))
            raise ParityError("stopped")
    assert len(seen) == 1 and not seen[0].exists()
