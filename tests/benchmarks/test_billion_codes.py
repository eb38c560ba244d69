"""The comparison of very many codes: it counts, goes on where it was stopped, and sees one wrong weight."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from benchmark_scripts import script

from qgait.export.graph import Graph
from qgait.export.operators import Conv2d
from qgait.models.registry import BACKBONES
from qgait.runtime.reference import Reference

PLAIN = 22  # the number of a network that is small and quick to compile, a GaitSimple
RINGS = 27  # a GaitPart, which keeps rings
FIRST = ["--first", str(PLAIN)]


@pytest.fixture(scope="module")
def billion() -> ModuleType:
    return script("billion_codes")


@pytest.fixture
def comparison(billion: ModuleType) -> ModuleType:
    return sys.modules["network_comparison"]


def counted(file: Path) -> dict:
    return json.loads(file.read_text())


def test_codes_are_counted_and_the_count_goes_on(
    billion: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "counts.json"
    words = [*FIRST, "--state", str(state), "--networks", "1"]
    assert billion.run([*words, "--codes", "1e5", "--json", "-"]) == 0
    told = capsys.readouterr().out
    facts = counted(state)
    assert json.loads(told[told.index("{") :]) == facts
    (row,) = facts["networks"]
    assert (row["number"], row["backbone"], facts["next"]) == (PLAIN, "gaitsimple", PLAIN + 1)
    assert row["codes"]["ONNX Runtime"] >= 10**5 > row["codes"]["reference"] > 0
    parts, channels = row["embedding"]
    assert row["codes"]["ONNX Runtime"] % (parts * channels) == 0
    assert row["distinct"] > 100 and 0 < row["commonest"] < 0.9
    assert set(facts["versions"]) >= {"qgait", "numpy", "onnxruntime", "apache-tvm"}

    assert billion.run([*words, "--codes", "1e5"]) == 0  # nothing is left to do
    assert counted(state) == facts
    assert billion.run([*words, "--codes", "100001"]) == 2
    assert "counted with other settings" in capsys.readouterr().err


def test_stopping_keeps_what_was_counted(
    billion: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "counts.json"
    words = ["--state", str(state), "--codes", "1000", "--networks", "10"]
    answers = iter([({"codes": {"ONNX Runtime": 400}, "clips": 4, "distinct": 9, "commonest": 0.1}, None)] * 5)
    seen = []

    def compared(series: object, number: int, *rest: object) -> object:
        seen.append(number)
        if len(seen) == 3:
            raise KeyboardInterrupt
        row, difference = next(answers)
        return {"number": number, "backbone": "b", "form": "", "weights": "w", "bits": "w8a8"} | row, difference

    monkeypatch.setattr(billion, "compare_network", compared)
    assert billion.run(words) == 130
    assert len(counted(state)["networks"]) == 2
    assert billion.run(words) == 0
    assert seen == [0, 1, 2, 2]
    assert "Stopped" in capsys.readouterr().err


def with_one_weight_changed(graph: Graph) -> Graph:
    """One weight of the middle of the network is larger or smaller by 1."""
    op = [op for op in graph.ops if isinstance(op, Conv2d)][3]
    weight = op.weight.copy()
    at = np.unravel_index(np.abs(weight.astype(np.int16)).argmax(), weight.shape)
    weight[at] -= np.sign(weight[at])
    changed = dataclasses.replace(op, weight=weight)
    return dataclasses.replace(graph, ops=tuple(changed if one is op else one for one in graph.ops))


def test_one_weight_of_the_library_that_differs_is_seen_and_can_be_seen_again(
    billion: ModuleType,
    comparison: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    right = comparison.compiled_library
    monkeypatch.setattr(
        comparison, "compiled_library", lambda graph, folder: right(with_one_weight_changed(graph), folder)
    )
    state = tmp_path / "counts.json"
    words = [*FIRST, "--state", str(state), "--codes", "1e5", "--networks", "1"]
    assert billion.run(words) == 1
    said = capsys.readouterr().err
    assert f"Network {PLAIN} (gaitsimple" in said and "ONNX Runtime gives" in said
    facts = counted(state)
    assert facts["networks"] == [] and facts["next"] == PLAIN
    found = facts["difference"]
    assert f"--seed 0 --first {PLAIN}" in found["again"]

    # the seeds alone give the clip and both codes
    graph = billion.NetworkSeries(0, []).graph(PLAIN)
    _, clip = comparison.HardClips(graph, billion.walkers()).clip(found["clip_seed"])
    at = tuple(found["index"])
    assert len(clip) == found["frames"]
    assert Reference(graph).embed(clip)[at] == found["code"]
    assert Reference(with_one_weight_changed(graph)).embed(clip)[at] == found["library"] != found["code"]

    monkeypatch.setattr(comparison, "compiled_library", right)
    assert billion.run(words) == 0  # with the library mended the count goes on
    assert "difference" not in counted(state)


def test_an_arm_target_that_differs_is_named(
    billion: ModuleType, comparison: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = comparison.Compiled.embed_many

    def wrong(self: object, clips: list[np.ndarray]) -> list[np.ndarray]:
        codes = right(self, clips)
        codes[-1][0, 1] ^= 1
        return codes

    monkeypatch.setattr(comparison.Compiled, "embed_many", wrong)
    monkeypatch.setattr(billion, "EMULATED_EVERY", 1)
    monkeypatch.setattr(comparison, "EMULATED_CODES", 5000)
    state = tmp_path / "counts.json"
    targets = billion.emulated_targets()
    number = len(targets) * 2 + 3  # its turn is the fourth target's
    monkeypatch.setattr(billion.NetworkSeries, "member", lambda self, _: member)
    member = billion.Member("gaitsimple", "random", "w3a3", {})
    assert billion.run(["--first", str(number), "--state", str(state), "--codes", "10000", "--networks", "1"]) == 1
    found = counted(state)["difference"]
    assert (found["runtime"], found["index"]) == (targets[3], [0, 1])


def test_the_same_number_is_the_same_network(billion: ModuleType) -> None:
    one, other = (billion.NetworkSeries(5, []).graph(PLAIN) for _ in range(2))
    assert [op.name for op in one.ops] == [op.name for op in other.ops]
    for a, b in zip(one.ops, other.ops, strict=True):
        if isinstance(a, Conv2d):
            np.testing.assert_array_equal(a.weight, b.weight)
            np.testing.assert_array_equal(a.requant.multiplier, b.requant.multiplier)


def test_four_rounds_have_every_backbone_at_every_bit_width(billion: ModuleType) -> None:
    series = billion.NetworkSeries(0, [])
    size = 6 * 4 + 8 + 4 + 1
    members = [series.member(number) for number in range(4 * size)]
    random = {(m.backbone, str(m.variant), m.bits) for m in members if m.weights == "random"}
    assert len(random) == 14 * 4
    assert {m.weights for m in members} == {"random", "random, published widths", "gaitset_walkers.safetensors"}
    assert {m.backbone for m in members if m.weights == "random, published widths"} == set(BACKBONES)
    assert sum(m.weights == "gaitset_walkers.safetensors" for m in members) == 4


def test_clips_reach_the_ends(billion: ModuleType, comparison: ModuleType) -> None:
    graph = billion.NetworkSeries(0, []).graph(RINGS)
    clips = comparison.HardClips(graph, billion.walkers())
    made = [clips.clip([0, 0, number]) for number in range(400)]
    assert {kind for kind, _ in made} == set(clips.kinds)
    lengths = {len(clip) for _, clip in made}
    assert lengths >= {1, graph.min_frames - 1, graph.min_frames, graph.min_frames + 1} - {0}
    assert lengths >= set(graph.schedule.rings.values())
    assert all(clip.dtype == np.uint8 and clip.shape[1:] == (64, 44) for _, clip in made)
    assert any((clip == 0).all() for _, clip in made) and any((clip == 255).all() for _, clip in made)


@pytest.mark.parametrize(
    "words",
    [
        ["--checkpoint", "no.pt"],
        ["--data", "nowhere"],
        ["--state", "."],
    ],
)
def test_wrong_use(
    billion: ModuleType,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert billion.run(words) == 2
    assert "Fix: " in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--codes", "0"], ["--seed", "-1"], ["--codes", "nan"], ["--codes", "inf"]])
def test_numbers_that_are_none(billion: ModuleType, words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        billion.run(words)
    assert stopped.value.code == 2
