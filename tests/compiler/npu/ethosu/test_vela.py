"""Vela in a process of its own: every accelerator, what it wrote, and everything that can go wrong."""

from __future__ import annotations

import importlib.metadata
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from example_graphs import GraphBuilder, tiny_graph

from qgait.compiler.npu.ethosu import vela
from qgait.compiler.npu.ethosu.vela import VelaError, VelaOptions, compile_segment, compile_tflite
from qgait.compiler.npu.ethosu.vela_output import port_names
from qgait.compiler.npu.partition import partition
from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.segments import segment_of
from qgait.export.tosa.writer import segment_bytes
from qgait.targets.accelerators import NPU_TARGETS, find_npu

U55, U65 = find_npu("ethos-u55-128"), find_npu("ethos-u65-256")
assert U55 is not None and U65 is not None


@pytest.fixture(scope="module")
def graph() -> Graph:
    return tiny_graph()


@pytest.fixture(scope="module")
def tosa(graph: Graph) -> bytes:
    """The frame segment, running maxima inside."""
    assert U55 is not None
    return segment_bytes(graph, partition(graph, U55).segments[0])


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where folders of Vela are made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_every_accelerator_compiles_a_network(graph: Graph, tosa: bytes) -> None:
    frames = {target.name: compile_segment(tosa, target, name="frame") for target in NPU_TARGETS}
    assert len(frames) == 11
    for target in NPU_TARGETS:
        made = frames[target.name]
        assert (made.accelerator, made.system_config) == (target.name, target.system_config)
        assert made.memory_mode == target.memory_mode
        assert made.command_stream.startswith(b"COP1") and len(made.weights) > 500
        assert made.figures.clock == target.clock
        assert made.figures.milliseconds == pytest.approx(1e3 * made.figures.cycles / target.clock)
        inputs, outputs = {p.name: p.shape for p in made.inputs}, {p.name: p.shape for p in made.outputs}
        maxima = {op.output: graph.tensors[op.output].shape for op in graph.ops if op.name.startswith("max")}
        assert inputs == {"silhouette": (16, 12, 1)} | {f"{name}_before": shape for name, shape in maxima.items()}
        assert outputs == maxima and len(maxima) == 2
        region, size = made.scratch
        for port in (*made.inputs, *made.outputs):
            assert port.region == region and port.offset + port.size <= size
    cycles = [frames[f"ethos-u55-{macs}"].figures.cycles for macs in (32, 64, 128, 256)]
    assert cycles == sorted(cycles, reverse=True), "more MACs a cycle, fewer cycles"


def test_figures_say_where_memory_and_cycles_go(tosa: bytes) -> None:
    on_chip = compile_segment(tosa, U55).figures
    assert on_chip.dram == 0 and on_chip.sram > 0 and on_chip.flash > 500
    assert on_chip.access_cycles["sram"] > 0 and on_chip.access_cycles["off_chip_flash"] > 0
    assert sum(layer.cycles for layer in on_chip.layers) >= on_chip.cycles * 0.9
    assert {"conv0", "max3"} & {layer.name for layer in on_chip.layers}
    with_dram = compile_segment(tosa, U65)
    assert with_dram.figures.dram > 0 and with_dram.figures.flash == 0
    assert with_dram.scratch_fast[1] > 0 and with_dram.scratch_fast[0] != with_dram.scratch[0]


def test_options_reach_vela(tosa: bytes) -> None:
    slow = compile_segment(tosa, U55, VelaOptions("Ethos_U55_Deep_Embedded", "Sram_Only"))
    assert (slow.figures.clock, slow.memory_mode) == (200e6, "Sram_Only")
    small, large = (
        compile_segment(tosa, U55, options).figures.sram
        for options in (VelaOptions(optimise="Size"), VelaOptions(arena_cache=10**6))
    )
    assert small < large


def test_ports_keep_their_names_whatever_their_order() -> None:
    """Two inputs and two outputs of one shape, in both orders: only their names tell them apart."""
    b = GraphBuilder(0, 8, 6)
    one, other = b.conv("silhouette", 4, 3), b.conv("silhouette", 4, 3)
    b.add(b.conv(one, 4, 1), b.conv(other, 4, 1))
    graph = b.graph("pair")
    offsets = []
    for order in ((2, 3), (3, 2)):
        segment = segment_of(graph, tuple(graph.ops[i] for i in order), "pair")
        data = segment_bytes(graph, segment)
        assert [name for name, _ in port_names(data)[0]] == [graph.ops[i].inputs[0] for i in order]
        made = compile_segment(data, U55)
        offsets.append({port.name: port.offset for port in (*made.inputs, *made.outputs)})
        assert len(set(offsets[-1].values())) > 1
    assert set(offsets[0]) == set(offsets[1]) == {one, other, "conv2", "conv3"}


def test_zeros_at_the_end_of_the_weights_are_kept() -> None:
    """A raw file holds bytes as text of fixed length, whose item loses zeros at its end."""
    raw = np.asarray(b"abc\0\0")
    assert raw.item() == b"abc" and raw.tobytes() == b"abc\0\0"


def test_tflite_holds_one_ethos_u_operator(tosa: bytes, kept: Path) -> None:
    data = compile_tflite(tosa, U55, name="frame")
    assert data[4:8] == b"TFL3" and b"ethos-u" in data and b"silhouette" in data
    assert list(kept.iterdir()) == [], "what worked is cleaned up"


def test_a_rejected_graph_names_the_reason_and_keeps_the_log(kept: Path) -> None:
    b = GraphBuilder(0, 16, 12)
    b.conv("silhouette", 4, 5, stride=4)
    graph = b.graph("strided")
    with pytest.raises(VelaError, match=r"Vela did not compile entrance: .*Conv2D.* could not run on NPU") as caught:
        compile_segment(segment_bytes(graph, segment_of(graph, graph.ops, "entrance")), U55, name="entrance")
    assert caught.value.log.read_text().count("Traceback") == 1 and caught.value.log.parent.parent == kept
    assert (caught.value.log.parent / "entrance.tosa").exists()
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (copied.reason, copied.log) == (caught.value.reason, caught.value.log)


def test_wrong_names_are_told_in_velas_words(tosa: bytes, kept: Path) -> None:
    with pytest.raises(VelaError, match="Ethos_U55_Nowhere"):
        compile_segment(tosa, U55, VelaOptions(system_config="Ethos_U55_Nowhere"))
    with pytest.raises(VelaError):
        compile_segment(tosa[:100], U55)


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("import os; os.abort()", "stopped by signal 6"),
        ("import sys; sys.exit(3)", "ended with code 3 and no message"),
        ("print('all is well')", "all is well"),
        ("import time; time.sleep(30)", "did not answer within 0.5 seconds"),
    ],
)
def test_a_crash_is_one_sentence_and_a_log(
    tosa: bytes, kept: Path, program: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = kept / "python"
    broken.write_text(f"#!{sys.executable}\n{program}\n")
    broken.chmod(0o755)
    monkeypatch.setattr(vela.sys, "executable", str(broken))
    monkeypatch.setattr(vela, "ANSWER_WITHIN", 0.5 if "sleep" in program else 60)
    with pytest.raises(VelaError, match=sentence) as caught:
        compile_segment(tosa, U55)
    assert caught.value.log.is_file()


def test_a_missing_or_other_vela_is_named(tosa: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vela, "VERSION", "5.3.0")
    with pytest.raises(QgaitError, match=r"Vela 5\.2\.0 is installed.*5\.3\.0.*pip install") as caught:
        compile_segment(tosa, U55)
    assert "ethos-u-vela==" in caught.value.fix

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(QgaitError, match="not installed"):
        compile_segment(tosa, U55)
