"""qgait compile and bench for Ethos-U targets: tables, files and everything that is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from example_graphs import GraphBuilder, gaitset_graph

from qgait.cli import run
from qgait.commands.compile import compile_
from qgait.commands.settings import as_options
from qgait.compiler.npu.ethosu import vela
from qgait.export.onnx.reader import read
from qgait.export.onnx.writer import write
from qgait.runtime.bundle import Bundle


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GaitSet of few channels on 64 x 44 silhouettes."""
    path = tmp_path_factory.mktemp("npu") / "model.onnx"
    write(gaitset_graph(channels=(2, 3, 4)), path)
    return path


@pytest.fixture(scope="module")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with a window between two convolutions."""
    b = GraphBuilder(0, 64, 44, frames=4)
    x = b.conv(b.frame_window(b.pool(b.conv("silhouette", 3, 3), 4)), 4, 3)
    b.linear(b.power_pool(b.frame_max(x), (8, 8)), 3)
    path = tmp_path_factory.mktemp("npu") / "temporal.onnx"
    write(b.graph("temporal"), path)
    return path


def compiled(onnx: Path, folder: Path, *options: str, target: str = "ethos-u55-128") -> dict[str, Any]:
    facts = folder / "facts.json"
    arguments = ["compile", str(onnx), "--target", target, "--out", str(folder / "bundle"), "--json", str(facts)]
    assert run([*arguments, *options]) == 0
    return dict(json.loads(facts.read_text()))


def test_a_network_wholly_on_the_npu_and_on_chip(
    onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--no-host-fallback", "--memory-mode", "Sram_Only", "--system-config", "Ethos_U55_Deep_Embedded"]
    facts = compiled(onnx, tmp_path, *options, "--sram", "64k", "--host", "cortex-m33", target="ethos-u55-32")
    printed = " ".join(capsys.readouterr().out.split())
    assert facts["operators_on_npu"] == facts["operators"] and facts["macs_on_npu"] == 1.0
    assert facts["operators_on_host"] == facts["choices"] == [] and "On the host" not in printed
    assert (facts["target"], facts["host"], facts["memory_mode"]) == ("ethos-u55-32", "cortex-m33", "Sram_Only")
    assert facts["estimate"] is True and 0 < facts["sram_bytes"] <= 64 * 1024
    for stream in facts["streams"]:
        assert f"{stream['cycles']:,}" in printed and 0 < stream["share"] < 1
        assert stream["milliseconds"] == pytest.approx(stream["cycles"] / 200e3)
        assert (tmp_path / "bundle" / "npu" / f"{stream['name']}.tflite").read_bytes()[4:8] == b"TFL3"
    weights = (tmp_path / "bundle" / "npu").glob("*.weights")
    assert facts["npu_weight_bytes"]["compressed"] == sum(file.stat().st_size for file in weights)
    assert facts["npu_weight_bytes"]["packed"] == sum(op.weight_bytes for op in read(onnx).ops) > 0
    assert "compressed by Vela" in printed and "weights on the NPU, packed" in printed
    assert facts["selftest"]["streams"] and facts["selftest"]["codes"] > 0
    assert "a reading of public sources and not silicon" in printed and "Vela's estimate" in printed


def test_what_stays_on_the_host_is_said_or_refused(
    temporal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compile", str(temporal), "--target", "ethos-u65-256", "--out", str(tmp_path / "bundle")]
    assert run([*arguments, "--no-host-fallback"]) == 2
    said = capsys.readouterr().err
    assert "(FrameWindow) does not run on ethos-u65-256 (2 operators in all)" in said and "gaitset" in said
    assert not (tmp_path / "bundle").exists()

    facts = compiled(temporal, tmp_path, target="ethos-u65-256")
    printed = " ".join(capsys.readouterr().out.split())
    bundle = Bundle.open(tmp_path / "bundle")
    assert bundle.npu is not None and bundle.target.name == facts["host"] == "imx93"
    assert {"FrameWindow", "PowerPool"} <= {staying["kind"] for staying in facts["operators_on_host"]}
    for staying in facts["operators_on_host"]:
        assert f"{staying['operator']} ({staying['kind']})" in printed
        assert staying["reason"] in printed and as_options(staying["fix"], compile_) in printed
    assert facts["choices"]
    for choice in facts["choices"]:
        assert f"{choice['what']}: the NPU would take {choice['npu_ms']:.3f} ms" in printed

    written = tmp_path / "bench.json"
    assert run(["bench", str(tmp_path / "bundle"), "--json", str(written)]) == 0
    shown, bench = " ".join(capsys.readouterr().out.split()), json.loads(written.read_text())
    assert bench["estimate"] is True and "an estimate, not a measurement" in shown
    assert bench["cycles_per_frame"] == facts["cycles_per_frame"] > 0
    frame = sum(of["milliseconds"] for of in facts["streams"] if of["phase"] == "frame")
    assert bench["frame_ms"] == {"median": pytest.approx(frame), "p95": None}
    for option in (["--device", "qemu"], ["--runs", "3"]):
        assert run(["bench", str(tmp_path / "bundle"), *option]) == 2
        assert option[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("arm", ["--sram", "512k"], "--sram is for Ethos-U targets, and arm is none"),
        ("arm", ["--no-host-fallback"], "--no-host-fallback is for Ethos-U targets"),
        ("cortex-m55", ["--host", "cortex-m33"], "--host is for Ethos-U targets"),
        ("ethos-u55-12", [], "'ethos-u55-128'"),
        ("ethos-u55-128", ["--sram", "lots"], "--sram lots is no amount of memory"),
        ("ethos-u55-128", ["--sram", "0"], "no amount of memory"),
        ("ethos-u55-128", ["--sram", "1k"], "1 KiB of SRAM are too few for the command stream of frame"),
        ("ethos-u55-128", ["--host", "cortexm55"], "'cortex-m55'"),
        ("ethos-u55-128", ["--host", "host"], "name an ARM target"),
        ("ethos-u55-128", ["--host", "ethos-u65-256"], "is an NPU"),
        ("ethos-u55-128", ["--memory-mode", "Sram"], "did you mean Sram_Only?"),
        ("ethos-u65-256", ["--system-config", "Ethos_U55_High_End_Embedded"], "did you mean Ethos_U65_High_End?"),
        ("ethos-u55-128", ["--trace"], "--trace needs a program"),
    ],
)
def test_wrong_use_is_exit_code_2(
    onnx: Path, target: str, options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compile", str(onnx), "--target", target, "--out", str(tmp_path / "bundle")]
    assert run([*arguments, *options]) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert said in printed and "Fix:" in printed
    assert not (tmp_path / "bundle").exists()


def test_another_vela_is_refused_before_any_work(
    onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vela, "VERSION", "9.9.9")
    assert run(["compile", str(onnx), "--target", "ethos-u55-128", "--out", str(tmp_path / "bundle")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Vela 5.2.0 is installed" in said and "pip install ethos-u-vela==" in said


def test_targets_lists_npus(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["targets"]) == 0
    printed = capsys.readouterr().out
    assert "ethos-u85-2048" in printed and "Ethos_U55_High_End_Embedded" in printed and "cortex-m55" in printed
