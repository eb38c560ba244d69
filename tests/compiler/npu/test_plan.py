"""What is decided by figures, what a budget of SRAM and --no-host-fallback refuse, and what Vela does not take."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from example_graphs import GraphBuilder, parts_graph, tiny_graph

from qgait.compiler.npu import plan as module
from qgait.compiler.npu.ethosu import segment_compiler, vela
from qgait.compiler.npu.ethosu.forms import tosa_for
from qgait.compiler.npu.ethosu.limits import Stay
from qgait.compiler.npu.ethosu.segment_compiler import SegmentCompiler, SramError
from qgait.compiler.npu.ethosu.vela import VelaError, VelaOptions
from qgait.compiler.npu.ethosu.vela_systems import arena_in_sram, checked
from qgait.compiler.npu.partition import partition
from qgait.compiler.npu.plan import HEAD, MAXIMUM, TOO_LARGE, Choice, NpuPlan, plan
from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.runtime.ethosu.segment import CompiledSegment
from qgait.targets.accelerators import NpuTarget, find_npu
from qgait.targets.host_speed import HostSpeed
from qgait.targets.processors import find, processor

U55 = find_npu("ethos-u55-128")
assert U55 is not None
HOST = find("arm")


@functools.cache
def compiled(tosa: bytes, accelerator: NpuTarget, options: VelaOptions, name: str) -> CompiledSegment:
    return vela.compile_segment(tosa, accelerator, options, name)


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vela runs once for equal graphs, and writes no second form."""
    monkeypatch.setattr(segment_compiler, "compile_segment", compiled)
    monkeypatch.setattr(segment_compiler, "compile_tflite", lambda *_: b"")


def planned(graph: Graph, **options: object) -> NpuPlan:
    return plan(graph, U55, HOST, VelaOptions(), **options)  # type: ignore[arg-type]


def of_speed(monkeypatch: pytest.MonkeyPatch, speed: HostSpeed) -> None:
    monkeypatch.setattr(module, "processor", lambda core: replace(processor(core), speed=speed))


def test_a_fast_host_takes_maxima_and_head_and_a_slow_one_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = tiny_graph()
    of_speed(monkeypatch, HostSpeed(1e9, 1e9))
    fast = planned(graph)
    assert [choice.what for choice in fast.choices] == [MAXIMUM, HEAD]
    assert [choice.place for choice in fast.choices] == ["host", "host"]
    assert list(fast.compiled) == ["frame"] and fast.partition.segments[0].state == ()
    of_speed(monkeypatch, HostSpeed(1e-9, 1e9))  # copies cost nothing, products do
    slow = planned(graph)
    assert list(slow.compiled) == ["frame", "head"] and slow.choices[1].npu < slow.choices[1].host
    of_speed(monkeypatch, HostSpeed(1e-9, 1e-9))
    assert planned(graph).choices[0].place == "host", "a copy in and one out cost more than one comparison"


def test_a_choice_is_the_faster_one() -> None:
    assert Choice("work", npu=1.0, host=2.0).place == "npu" and Choice("work", npu=2.0, host=1.0).place == "host"


def test_a_plan_holds_every_form_of_every_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_compiler, "compile_tflite", vela.compile_tflite)
    made = planned(tiny_graph(), host_fallback=False)
    segments = [segment.name for segment in made.partition.segments]
    assert segments == list(made.compiled) == list(made.tosa) == list(made.tflite) == ["frame", "head"]
    assert all(made.compiled[name].name == name and made.compiled[name].command_stream for name in segments)
    assert all(data[4:8] == b"TFL3" for data in made.tflite.values())
    assert not made.partition.host and not made.choices


def test_no_host_fallback_names_the_operator_the_reason_and_the_fix() -> None:
    with pytest.raises(
        QgaitError, match=r"window6 \(FrameWindow\) does not run on ethos-u55-128 \(8 operators"
    ) as caught:
        planned(parts_graph(), host_fallback=False)
    assert (
        "rings" in caught.value.problem
        and "gaitset" in caught.value.fix
        and "`host_fallback=False`" in caught.value.fix
    )


def of_size(monkeypatch: pytest.MonkeyPatch, size: Callable[[bytes, VelaOptions], tuple[int, int]]) -> None:
    """Streams take the (SRAM, cycles) that ``size`` gives for a graph and options, whatever Vela finds."""

    def pretended(tosa: bytes, accelerator: NpuTarget, options: VelaOptions, name: str) -> CompiledSegment:
        real = compiled(tosa, accelerator, VelaOptions(), name)
        sram, cycles = size(tosa, options)
        return replace(real, figures=replace(real.figures, sram=sram, cycles=cycles))

    monkeypatch.setattr(segment_compiler, "compile_segment", pretended)


def test_a_budget_of_sram_is_kept_or_refused_with_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running maxima make a stream larger: where it is too large the host takes them, and the reason is no estimate."""
    of_size(monkeypatch, lambda tosa, options: (3 * 1024 if b"_before" in tosa else 2 * 1024, 1000))
    graph = tiny_graph()
    made = planned(graph, sram=2500)
    assert made.compiled["frame"].figures.sram == 2048 and made.partition.host["max3"] == TOO_LARGE
    with pytest.raises(SramError, match="2 KiB of SRAM are too few for the command stream of frame, which needs 3 KiB"):
        planned(graph, sram=2500, host_fallback=False)
    with pytest.raises(SramError, match=r"needs 2 KiB, 1\.0 KiB more.*`sram`"):
        planned(graph, sram=1024)


@pytest.mark.parametrize(("sram", "expected"), [(100, 50), (60, 80), (45, 200), (20, 900)])
def test_of_the_streams_that_fit_the_fastest_is_taken(
    sram: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"Performance": [(100, 90, 50), (60, 70, 60), (40, 44, 200), (0, 20, 900)], "Size": [(0, 60, 80)]}

    def size(tosa: bytes, options: VelaOptions) -> tuple[int, int]:
        assert options.arena_cache is not None
        return next(row[1:] for row in known[options.optimise] if row[0] <= options.arena_cache)

    of_size(monkeypatch, size)
    graph = tiny_graph()
    segment = partition(graph, U55).segments[0]
    made = SegmentCompiler(graph, U55, VelaOptions(), sram).compiled(segment).figures
    assert made.sram <= sram and made.cycles == expected


def test_an_operator_that_vela_rejects_stays_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    b = GraphBuilder(0, 16, 12)
    b.frame_max(b.conv(b.conv("silhouette", 4, 5, stride=4), 3, 3))
    graph = b.graph("strided")
    monkeypatch.setattr("qgait.compiler.npu.ethosu.limits.STRIDE", 4)  # so that Vela sees it
    made = planned(graph)
    why = made.partition.host["conv0"]
    assert "Vela does not take it" in why.reason and "Conv2D" in why.reason and why.fix
    with pytest.raises(QgaitError, match=r"conv0 \(Conv2d\) does not run"):
        planned(graph, host_fallback=False)


def test_what_is_nobodys_fault_is_velas(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Every operator compiles alone, the segment does not: there is nothing to leave to the host."""
    compile_segment = segment_compiler.compile_segment

    def refuse(tosa: bytes, accelerator: object, options: object, name: str) -> object:
        if name != "alone":
            raise VelaError(name, "it was stopped by signal 11", tmp_path)  # type: ignore[arg-type]
        return compile_segment(tosa, accelerator, options, name)  # type: ignore[arg-type]

    monkeypatch.setattr(segment_compiler, "compile_segment", refuse)
    b = GraphBuilder(0, 8, 6)
    b.linear(b.strips(b.frame_max(b.conv("silhouette", 2, 3)), (1,)), 2)
    with pytest.raises(VelaError, match="signal 11"):
        planned(b.graph("small"))


def test_a_network_without_work_for_an_npu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qgait.compiler.npu.partition.stays", lambda *_: Stay("it cannot", "nothing."))
    with pytest.raises(
        QgaitError, match=r"Nothing of tiny runs on ethos-u55-128\. Fix: compile it for the host alone: arm"
    ):
        planned(tiny_graph())


def test_systems_and_memory_modes_are_checked_by_name() -> None:
    with pytest.raises(QgaitError, match=r"did you mean Ethos_U55_Deep_Embedded\? There are Ethos_U55_Deep") as caught:
        checked(VelaOptions(system_config="Ethos_U55_Depp_Embedded"), U55)
    assert "U65" not in caught.value.fix
    with pytest.raises(QgaitError, match="`memory_mode=Shared` is not known"):
        checked(VelaOptions(memory_mode="Shared"), U55)
    with pytest.raises(QgaitError, match="has no DRAM"):
        checked(VelaOptions(memory_mode="Dedicated_Sram_512KB"), U55)
    assert checked(VelaOptions(memory_mode="Sram_Only"), U55).memory_mode == "Sram_Only"
    assert [arena_in_sram(mode) for mode in ("Sram_Only", "Shared_Sram", "Dedicated_Sram_256KB")] == [True, True, False]


def test_a_vendors_file_adds_its_systems(tmp_path: Path) -> None:
    vendor = tmp_path / "vendor.ini"
    vendor.write_text("[System_Config.Board]\ninherit=System_Config.Ethos_U55_High_End_Embedded\ncore_clock=400e6\n")
    options = checked(VelaOptions(system_config="Board", config=vendor), U55)
    graph = tiny_graph()
    made = vela.compile_segment(tosa_for(graph, partition(graph, U55).segments[0], U55), U55, options)
    assert (made.system_config, made.figures.clock) == ("Board", 400e6)
    with pytest.raises(QgaitError, match=r"There are .*Board"):
        checked(VelaOptions(system_config="Bord", config=vendor), U55)
    with pytest.raises(QgaitError, match="`system_config=Board` is not known"):
        checked(VelaOptions(system_config="Board"), U55)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no such file"),
        ("pipe", "it is a named pipe"),
        ("x" * (2 << 20), "larger than 1 MiB"),
        ("core_clock=1\n", "no section headers"),
        ("[System_Config.Board]\ncore_clock=1\n", "has no axi1_port"),
        ("[System_Config.Board]\ninherit=System_Config.Board\n", "has no axi1_port"),
        ("[System_Config.Board]\ninherit=System_Config.Nothing\n", r"\[System_Config.Nothing\] is in no"),
    ],
)
def test_a_vendors_file_that_says_too_little_is_refused(text: str | None, said: str, tmp_path: Path) -> None:
    vendor = tmp_path / "vendor.ini"
    if text == "pipe":
        os.mkfifo(vendor)
    elif text is not None:
        vendor.write_text(text)
    with pytest.raises(QgaitError, match=said):
        checked(VelaOptions("Board", "Dedicated_Sram", config=vendor), U55)
