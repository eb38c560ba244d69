"""The proof of a report: every bundle has a row of its own, and a wrong code is seen in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from compiled_bundles import bundle, clips, graph

from qgait.export.onnx.writer import write
from qgait.progress import untold
from qgait.report import proof
from qgait.report.bundles import open_bundles
from qgait.runtime.compiled import Compiled
from qgait.verification.parity import FakeResult


def test_two_bundles_of_one_target_have_a_row_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "compare_fake", lambda *_: FakeResult(0, 0, 0, 1.0, None))
    monkeypatch.setattr(proof, "meaning_of", lambda _: None)
    right = Compiled.embed_many

    def wrong_in_one(self: Compiled, walks: list) -> list:
        codes = right(self, walks)
        if self.bundle.path.name == "two":
            codes[0][0, 0] ^= 1
        return codes

    monkeypatch.setattr(Compiled, "embed_many", wrong_in_one)
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(bundle("tiny", "host").path)
    write(graph("tiny"), tmp_path / "model.onnx")
    opened = open_bundles([tmp_path / "one", tmp_path / "two"], graph("tiny"))
    walks = clips(graph("tiny"), 3, 4)
    facts, failures = proof.prove(graph("tiny"), None, tmp_path / "model.onnx", opened, walks, untold)
    assert list(facts["runtimes"]) == ["reference", "ort", "host one", "host two"] and failures == []
    assert [result["mismatches"] for result in facts["runtimes"].values()] == [0, 0, 0, 1]
