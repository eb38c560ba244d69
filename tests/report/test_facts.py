from __future__ import annotations

import pytest
from report_facts import benchmarks, evaluations, small_facts, verification

from qgait.report import facts

SIZES = {"float": 4000, "ort": 1000}


def test_the_table_holds_what_the_commands_measured() -> None:
    rows = {
        (row["level"], row["runtime"]): row for row in facts.table(verification(), evaluations(), benchmarks(), SIZES)
    }
    assert list(rows) == [
        ("float", "float32"),
        ("fake", "float32"),
        ("fake", "float64"),
        *(("int", name) for name in ("reference", "ort", "host", "arm")),
    ]
    assert rows["float", "float32"]["rank1"] == {"nm": 91.25, "bg": 71.25, "cl": 41.25}
    assert [rows[key]["eer"] for key in (("float", "float32"), ("int", "host"), ("int", "arm"))] == [3.25, 6.25, None]
    assert rows["float", "float32"]["differing"] is None and rows["float", "float32"]["bytes"] == 4000
    assert rows["fake", "float32"]["differing"] == 2 and not rows["fake", "float32"]["wrong"]
    assert rows["int", "reference"]["rank1"] is None and rows["int", "reference"]["bytes"] is None
    assert rows["int", "ort"]["rank1"]["nm"] == 93.25 and rows["int", "ort"]["bytes"] == 1000
    assert (rows["int", "host"]["frame_ms"], rows["int", "host"]["bytes"]) == (0.1236, 301_000)
    assert rows["int", "arm"]["instructions_per_frame"] == 3_127_000
    assert rows["int", "arm"]["frame_ms"] is None, "an emulator's milliseconds are nobody's speed"


@pytest.mark.parametrize("broken", ["ort", "arm", "float64"])
def test_one_differing_code_breaks_the_promise(broken: str) -> None:
    verify = verification(**{broken: 1})
    found = facts.verdict(verify, small_facts()["errors"], [], [], {})
    assert not found["holds"] and sum(found["differing"].values()) == 1 and found["max_difference"] >= 1
    assert sum(row["wrong"] for row in facts.table(verify, [], {}, {})) == 1


def test_failures_and_inner_differences_break_the_promise() -> None:
    errors = small_facts()["errors"]
    assert facts.verdict(verification(), errors, [], [], {})["holds"]
    assert not facts.verdict(verification(), errors, ["bench failed."], [], {})["holds"]
    errors[3]["fake_float64"] = 1
    assert not facts.verdict(verification(), errors, [], [], {})["holds"]


def test_what_was_not_checked_is_said() -> None:
    assert facts.verdict(verification(), [], [], ["No QEMU."], {})["unchecked"] == ["No QEMU."]


def test_places_are_where_the_code_ran() -> None:
    found = facts.verdict(verification(), [], [], [], {"arm": "arm code under QEMU"})
    assert found["places"] == ["numpy", "ONNX Runtime", "host", "arm code under QEMU"]


def test_versions_name_the_tools() -> None:
    found = facts.versions()
    assert {"qgait", "Python", "numpy", "torch", "onnxruntime", "apache-tvm", "machine"} <= set(found)
    assert all(found.values())
