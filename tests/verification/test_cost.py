"""The estimate before a proof begins."""

from __future__ import annotations

import numpy as np
import pytest
from example_graphs import gaitset_graph, silhouettes

from qgait.verification.cost import COMPILING, EMULATED, in_words, seconds


def test_an_emulated_runtime_costs_its_work_and_its_compiling() -> None:
    graph, clips = gaitset_graph(channels=(4, 8, 12)), [silhouettes(4, 1), silhouettes(3, 2)]
    work = graph.frame_macs * 7 + graph.clip_macs * 2
    more = seconds(graph, clips, ["arm"]) - seconds(graph, clips, [])
    assert more == pytest.approx(work / EMULATED + COMPILING)
    assert seconds(graph, clips, ["host"]) < seconds(graph, clips, ["arm"])
    assert all(np.isfinite(seconds(graph, clips, [name])) for name in ("reference", "ort", "tosa", "npu", "rpi4"))


def test_it_is_said_as_roughly_as_it_is_known() -> None:
    assert [in_words(cost) for cost in (5, 70, 240, 7000)] == [
        "less than a minute",
        "about 1 minute",
        "about 4 minutes",
        "about 2 hours",
    ]
