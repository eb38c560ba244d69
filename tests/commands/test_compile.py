"""qgait compile: from an ONNX file to a bundle whose self-test has run."""

from __future__ import annotations

import errno
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from example_graphs import gaitset_graph, parts_graph, silhouettes, temporal_graph, tiny_graph

from qgait.cli import run
from qgait.compiler import bundle as bundle_writer
from qgait.compiler.selftest_clips import selftest_lengths
from qgait.export.onnx.reader import read
from qgait.export.onnx.writer import write
from qgait.runtime.bundle import Bundle
from qgait.runtime.compiled import Compiled
from qgait.runtime.reference import Reference


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GaitSet of few channels on 64 x 44 silhouettes."""
    path = tmp_path_factory.mktemp("compile") / "model.onnx"
    write(gaitset_graph(channels=(4, 8, 12)), path)
    return path


def people(root: Path, *lengths: int) -> Path:
    """A data set in OpenGait's layout with a sequence of each length."""
    for number, frames in enumerate(lengths, start=1):
        folder = root / f"{number:03d}" / "nm-01" / "090"
        folder.mkdir(parents=True)
        walk = np.zeros((frames, 64, 64), np.uint8)
        walk[:, :, 10:54] = silhouettes(frames, number)
        (folder / "090.pkl").write_bytes(pickle.dumps(walk))
    return root


@pytest.mark.parametrize(("target", "said"), [("host", "passed"), ("arm", "passed under QEMU")])
def test_a_model_becomes_a_bundle(
    onnx: Path, target: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, facts = tmp_path / "bundle", tmp_path / "facts.json"
    assert run(["compile", str(onnx), "--target", target, "--out", str(out), "--json", str(facts)]) == 0
    made, found = Bundle.open(out), json.loads(facts.read_text())
    assert found["selftest"] == said and found["target"] == made.target.name == target
    assert found["arena_bytes"] == made.manifest["memory"]["arena_bytes"]
    assert found["library_bytes"] == (out / "libgait.so").stat().st_size
    printed = capsys.readouterr().out
    for note in made.manifest["notes"]:
        assert note in printed, "it says which implementation every layer got"
    frames = np.fromfile(out / "selftest" / "clip0.frames", np.uint8).reshape(-1, 64, 44)
    assert len(frames) == 6 and 0.05 < (frames > 127).mean() < 0.6, "the self-test holds walkers"
    clip = silhouettes(4, 9)
    np.testing.assert_array_equal(Compiled(made).embed(clip), Reference(read(onnx)).embed(clip))


def test_a_microcontroller_is_told_with_its_memory(
    onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, facts = tmp_path / "bundle", tmp_path / "facts.json"
    asked = ["compile", str(onnx), "--target", "cortex-m55", "--out", str(out)]
    assert run([*asked, "--flash", "2M", "--ram", "256k", "--json", str(facts)]) == 0
    found, memory = json.loads(facts.read_text()), Bundle.open(out).manifest["memory"]
    assert found["selftest"] == "passed under QEMU" and 100 < found["stack_bytes"] < 16_384
    assert (found["library_bytes"], found["arena_bytes"]) == (memory["flash_bytes"], memory["arena_bytes"])
    assert (found["flash_bytes"], found["ram_bytes"]) == (2**21, 2**18)
    printed = capsys.readouterr().out
    assert f"{memory['arena_bytes'] / 1024:,.0f} KiB of 256 KiB" in printed and "of 2,048 KiB" in printed
    capsys.readouterr()
    assert run([*asked, "--ram", "1k"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert (
        f"needs {memory['arena_bytes']:,} bytes of RAM for the arena" in said
        and "name the memory of your part with --flash and --ram" in said
    )
    assert Bundle.open(out).target.ram_bytes == 2**18, "what was there is still there"
    assert run(["compile", str(onnx), "--target", "arm", "--out", str(out), "--flash", "1M"]) == 2
    assert "--flash is for a Cortex-M" in capsys.readouterr().err
    assert run([*asked, "--flash", "4G"]) == 2
    assert "--flash 4G is no amount of memory" in capsys.readouterr().err


def test_the_selftest_takes_given_silhouettes(onnx: Path, tmp_path: Path) -> None:
    data = people(tmp_path / "data", 7, 2, 9)
    arguments = ["compile", str(onnx), "--target", "host", "--data", str(data), "--out", str(tmp_path / "bundle")]
    assert run(arguments) == 0
    stored = np.fromfile(tmp_path / "bundle" / "selftest" / "clip0.frames", np.uint8).reshape(-1, 64, 44)
    candidates = [silhouettes(frames, number)[:6] for number, frames in ((1, 7), (3, 9))]
    assert any(np.array_equal(stored, walk) for walk in candidates)


def test_the_selftest_of_a_temporal_network_is_longer_than_its_delay_and_repeats_a_short_clip() -> None:
    assert selftest_lengths(gaitset_graph()) == (6, 3)
    assert selftest_lengths(parts_graph()) == (6, 3)
    graph = temporal_graph()
    times = graph.schedule
    assert (times.stride, graph.min_frames) == (3, 3)
    assert selftest_lengths(graph) == (times.delay + 6, 2)


def test_too_little_data_for_a_selftest_is_refused(
    onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = people(tmp_path / "data", 7, 2)
    arguments = ["compile", str(onnx), "--target", "host", "--data", str(data), "--out", str(tmp_path / "bundle")]
    assert run(arguments) == 2
    assert "too few silhouettes for a self-test" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_trace_builds_the_tracer(onnx: Path, tmp_path: Path) -> None:
    assert run(["compile", str(onnx), "--target", "host", "--out", str(tmp_path / "bundle"), "--trace"]) == 0
    assert "linear31" in Compiled(Bundle.open(tmp_path / "bundle")).trace(silhouettes(2))


def test_a_failed_selftest_is_exit_code_1(
    onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Wrong(Reference):
        def embed(self, clip: np.ndarray) -> np.ndarray:
            codes = super().embed(clip)
            codes[2, 5] ^= 1
            return codes

    monkeypatch.setattr(bundle_writer, "Reference", Wrong)
    assert run(["compile", str(onnx), "--target", "host", "--out", str(tmp_path / "bundle")]) == 1
    assert "part 2, channel 5" in capsys.readouterr().err


def test_a_missing_emulator_is_said_and_no_reason_to_fail(
    onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = tmp_path / "facts.json"
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ["compile", str(onnx), "--target", "arm", "--out", str(tmp_path / "bundle"), "--json", str(facts)]
    assert run(arguments) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "The self-test was not run" in said and "apt install qemu-user" in said
    assert json.loads(facts.read_text())["selftest"] == "not run"


def test_wrong_use_is_exit_code_2(onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bundle"
    assert run(["compile", str(onnx), "--target", "armm", "--out", str(out)]) == 2
    assert "'arm'" in capsys.readouterr().err
    assert run(["compile", str(tmp_path / "none.onnx"), "--target", "host", "--out", str(out)]) == 2
    assert run(["compile", str(onnx), "--target", "host", "--out", str(tmp_path)]) == 0, "an empty folder is free"
    (tmp_path / "mine").write_text("mine")
    assert run(["compile", str(onnx), "--target", "host", "--out", str(tmp_path)]) == 2
    assert "mine" in capsys.readouterr().err


def test_frames_of_another_size_need_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tiny_graph(), tmp_path / "tiny.onnx")
    arguments = ["compile", str(tmp_path / "tiny.onnx"), "--target", "host", "--out", str(tmp_path / "bundle")]
    assert run(arguments) == 2
    assert "16 x 12 pixels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2, "the disk is full"),
        (KeyboardInterrupt(), 130, "nothing is left half-written"),
    ],
)
def test_a_full_disk_and_ctrl_c_leave_nothing(
    onnx: Path,
    error: BaseException,
    code: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(bundle_writer, "sign", fail)
    out = tmp_path / "place"
    assert run(["compile", str(onnx), "--target", "host", "--out", str(out / "bundle")]) == code
    assert sentence in capsys.readouterr().err
    assert list(out.iterdir()) == []
