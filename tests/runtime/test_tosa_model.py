"""The process of TOSA's reference model: what it says about bad files, and that nothing but a log stays behind."""

from __future__ import annotations

import re
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from graph_edits import with_op
from hand_graph import tie_clip, tie_graph
from numpy.typing import NDArray
from parity import assert_codes_equal

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.operators import Requant
from qgait.export.tosa import tools as tosa_tools
from qgait.export.tosa.writer import clip_bytes
from qgait.runtime.reference import input_codes, trace
from qgait.runtime.tosa import TosaRuntime
from qgait.runtime.tosa_model import execute

CODES = {"silhouette": input_codes(tie_clip())}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def refusal(tosa: bytes, codes: dict[str, NDArray[np.int8]] = CODES, within: float = 60) -> tuple[str, str]:
    """What the user is told, and what is in the log that he is told of."""
    with pytest.raises(QgaitError) as caught:
        execute(tosa, codes, ["parts"], within)
    (log,) = re.findall(r"see (\S+\.log); the graph is beside it", caught.value.fix)
    assert (Path(log).parent / "graph.tosa").read_bytes() == tosa
    return caught.value.problem, Path(log).read_text(errors="replace")


def overflowing() -> Graph:
    """Shifts so small that TOSA allows no accumulator above 15."""
    return with_op(tie_graph(), "conv", requant=Requant(np.full(4, 2**30, np.int32), np.full(4, 5, np.int8)))


def test_nothing_stays_behind_a_run(folder: Path) -> None:
    found = execute(clip_bytes(tie_graph(), 3), CODES, ["parts"])
    assert_codes_equal(found["parts"], trace(tie_graph(), tie_clip())["parts"])
    assert not list(folder.iterdir())


def test_what_the_specification_does_not_define_is_refused() -> None:
    problem, log = refusal(clip_bytes(overflowing(), 3))
    assert "refused the graph: " in problem and "value should stay within [-16, 15]" in problem
    assert "UNPREDICTABLE" in log and "\n" not in problem


def test_a_crash_is_one_sentence() -> None:
    tosa = clip_bytes(tie_graph(), 3)
    problem, log = refusal(tosa[: len(tosa) // 2])
    assert problem == "TOSA's reference model was stopped by signal 6."
    assert "FATAL ERROR" in log


def test_a_process_that_hangs_is_ended() -> None:
    frames = 50_000  # more than a second's work
    problem, _ = refusal(clip_bytes(tie_graph(), frames), {"silhouette": np.zeros((frames, 8, 6, 1), np.int8)}, 0.01)
    assert problem == "TOSA's reference model gave no answer within 0.01 seconds."


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    for use in (lambda: TosaRuntime(tie_graph()), lambda: clip_bytes(tie_graph(), 3), lambda: execute(b"", {}, [])):
        with pytest.raises(QgaitError, match=r"need tosa-tools, which is not installed.*qgait\[npu\]"):
            use()


def test_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert metadata.version("tosa-tools") == tosa_tools.VERSION
    monkeypatch.setattr(metadata, "version", lambda name: "2026.2.0")
    with pytest.raises(QgaitError, match=r"need tosa-tools 2026\.8\.0, and 2026\.2\.0 is installed"):
        TosaRuntime(tie_graph())
