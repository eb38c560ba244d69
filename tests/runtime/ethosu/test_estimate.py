"""Estimates of command streams, added up."""

from __future__ import annotations

from typing import Any

import pytest

from qgait.runtime.ethosu.estimate import estimate

KIB = 1024


def stream(name: str, phase: str, cycles: int, **others: Any) -> dict[str, Any]:
    figures = {"cycles": cycles, "clock": 1e9, "sram": 0, "dram": 0, "flash": 0}
    figures |= {key: others.pop(key) for key in ("sram", "dram", "flash") if key in others}
    return {
        "name": name,
        "phase": phase,
        "operators": ["a", "b"],
        "macs": 100 * cycles,
        "stride": 1,
        "scratch_bytes": 0,
        "estimate": figures,
    } | others


def test_times_of_a_frame_an_embedding_and_a_clip() -> None:
    npu = {
        "accelerator": "ethos-u65-256",
        "system_config": "S",
        "memory_mode": "M",
        "segments": [
            stream("frame", "frame", 6_000_000, sram=3 * KIB, dram=9 * KIB, scratch_bytes=4 * KIB),
            stream("frame2", "frame", 3_000_000, stride=3, sram=7 * KIB, dram=5 * KIB, scratch_bytes=2 * KIB),
            stream("head", "clip", 10_000_000, dram=20 * KIB, scratch_bytes=10 * KIB, flash=1 * KIB),
        ],
    }
    found = estimate(npu)
    assert [of.milliseconds for of in found.streams] == [6.0, 3.0, 10.0]
    assert [of.operators for of in found.streams] == [2, 2, 2]
    assert found.streams[0].share == pytest.approx(100 / 256)
    assert (found.frame_cycles, found.embedding_cycles) == (7_000_000, 10_000_000)
    assert (found.frame_milliseconds, found.embedding_milliseconds) == (7.0, 10.0)
    assert found.clip_milliseconds == 220.0
    assert found.sram == 7 * KIB, "streams run one behind the other"
    assert found.dram == (5 + 3 + 10 + 10) * KIB, "all weights, and the largest working memory once"
    assert found.flash == 1 * KIB
    facts = found.to_dict()
    assert facts["estimate"] is True and facts["cycles_per_frame"] == 7_000_000 and len(facts["streams"]) == 3


def test_working_memory_in_sram_is_no_dram() -> None:
    npu = {
        "accelerator": "ethos-u55-128",
        "system_config": "S",
        "memory_mode": "M",
        "segments": [stream("frame", "frame", 1000, sram=5 * KIB, flash=7 * KIB, scratch_bytes=5 * KIB)],
    }
    found = estimate(npu)
    assert (found.sram, found.dram, found.flash) == (5 * KIB, 0, 7 * KIB)
    assert found.embedding_cycles == 0 and found.clip_milliseconds == 30 * found.frame_milliseconds
