"""The demo end to end: few people, short walks, every stage for real."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from qgait.cli import cli, run
from qgait.commands import demo
from qgait.errors import QgaitError
from qgait.models import shipped
from qgait.report import render
from qgait.report.render import count, percent, size, speed
from qgait.runtime.ort import OnnxRuntime


@pytest.fixture(scope="module")
def small() -> Any:
    """A demo of seconds: walks of about five frames, one emulated processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "FRAMES", 5)
        patch.setattr(demo, "COMPILED", ("host", "arm"))
        yield


@pytest.fixture(scope="module")
def finished(small: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a demo that held, and what it printed."""
    out = tmp_path_factory.mktemp("demo") / "with space"
    arguments = ["demo", "--out", str(out), "--people", "2", "--sequences", "4"]
    result = CliRunner().invoke(cli, arguments, env={"COLUMNS": "160"}, catch_exceptions=False)
    assert result.exit_code == 0
    return out, result.stdout


def figures(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "demo.json").read_text())
    return found


def test_every_code_was_the_same_on_every_runtime(finished: tuple[Path, str]) -> None:
    verdict = figures(finished[0])["verdict"]
    assert verdict["holds"] and verdict["max_difference"] == 0 and not verdict["unchecked"]
    assert verdict["runtimes"] == ["reference", "ort", "host", "arm"]
    assert verdict["sequences"] == 4 and verdict["codes"] >= 4 * 62 * 16
    assert verdict["inner_codes"] > 100_000 and verdict["inner_differing"] == 0


def test_every_announced_command_is_one_that_can_be_typed(finished: tuple[Path, str]) -> None:
    out, printed = finished
    commands = [entry["command"] for entry in figures(out)["commands"]]
    assert [line.split("] ", 1)[1] for line in printed.splitlines() if re.match(r"\[\d+/\d+\] qgait", line)] == commands
    assert [shlex.split(line)[1] for line in commands] == (["data", "export", "compile", "compile", "report"])
    for line in commands:
        words = shlex.split(line)
        named = [word for word in words if word.startswith(str(out))]
        assert named and all(Path(word).exists() for word in named)


def test_the_table_is_what_the_commands_write(finished: tuple[Path, str], tmp_path: Path) -> None:
    out, printed = finished
    rows = {(row["level"], row["runtime"]): row for row in figures(out)["table"]}
    model, onnx = str(out / shipped.path().name), str(out / "model.onnx")
    for words, key in (([model, "--level", "fake"], ("fake", "float32")), ([onnx], ("int", "ort"))):
        file = tmp_path / "figures.json"
        assert run(["eval", *words, "--data", str(out / "walkers"), "--json", str(file)]) == 0
        written = json.loads(file.read_text())
        assert (rows[key]["rank1"], rows[key]["eer"]) == (written["rank1"], written["eer"])
    assert rows["int", "host"]["rank1"] == rows["int", "ort"]["rank1"]
    assert rows["int", "host"]["frame_ms"] > 0 and rows["int", "arm"]["frame_ms"] is None
    assert rows["int", "arm"]["instructions_per_frame"] > 0
    assert rows["int", "ort"]["bytes"] == (out / "model.onnx").stat().st_size
    last = printed[printed.rindex("EER") :]
    for row in rows.values():
        rank1 = [percent(value) for value in (row["rank1"] or {"nm": None, "bg": None, "cl": None}).values()]
        measured = [percent(row["eer"]), count(row["differing"]), speed(row), size(row["bytes"])]
        wanted = [f"{row['level']} · {row['runtime']}", *rank1, *measured]
        assert wanted in [re.split(r"\s*│\s*", line)[1:-1] for line in last.splitlines()]


def test_kernels_cost_what_the_frame_costs(finished: tuple[Path, str]) -> None:
    arm = next(group for group in figures(finished[0])["kernels"] if group["target"] == "arm")
    assert arm["unit"] == "instructions" and all(kernel["cost"] > 0 for kernel in arm["kernels"])
    frame = sum(kernel["cost"] for kernel in arm["kernels"] if kernel["per_frame"])
    whole = next(row for row in figures(finished[0])["table"] if row["runtime"] == "arm")["instructions_per_frame"]
    assert 0.95 * whole < frame <= whole, "what is left is reading frames, and memset"
    host = next(group for group in figures(finished[0])["kernels"] if group["target"] == "host")
    assert host["unit"] == "ms" and all(kernel["cost"] > 0 for kernel in host["kernels"])


def test_the_report_is_made_from_the_facts_alone(finished: tuple[Path, str], tmp_path: Path) -> None:
    out = finished[0]
    render.render(figures(out), tmp_path / "again.html")
    text = (out / "report.html").read_text(encoding="utf-8")
    assert text == (tmp_path / "again.html").read_text(encoding="utf-8")
    assert "It held." in text and "http" not in re.sub(r"base64,[^\"]+", "", text)
    assert {"nm", "bg", "cl"} == {strip["condition"] for strip in figures(out)["silhouettes"]}


def test_one_wrong_code_fails_the_demo(
    finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = finished[0]
    right = OnnxRuntime.embed_many

    def wrong(self: OnnxRuntime, clips: Sequence[Any]) -> list[Any]:
        codes = right(self, clips)
        codes[-1] = codes[-1].copy()
        codes[-1].flat[7] ^= np.int8(1)
        return codes

    monkeypatch.setattr(OnnxRuntime, "embed_many", wrong)
    monkeypatch.setattr(demo, "COMPILED", ())
    (out / "mine.json").write_text("{}")
    assert run(["demo", "--out", str(out), "--people", "2", "--sequences", "4"]) == 1
    verdict = figures(out)["verdict"]
    assert not verdict["holds"] and verdict["differing"] == {"ort": 1} and verdict["max_difference"] == 1
    assert [shlex.split(entry["command"])[1] for entry in figures(out)["commands"]] == ["data", "export", "report"]
    assert (out / "mine.json").exists(), "only the demo's own files are replaced"
    assert "It did not hold." in (out / "report.html").read_text(encoding="utf-8")
    assert "ort: 1 codes differ" in capsys.readouterr().err


def test_in_ci_an_emulator_that_is_missing_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(machine: int, qemu: Sequence[str]) -> list[str]:
        raise QgaitError("qemu-aarch64 is not installed.", "apt install qemu-user.")

    monkeypatch.setattr("qgait.runtime.qemu.launcher", missing)
    monkeypatch.delenv("CI", raising=False)
    demo.require_emulators()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(QgaitError, match="nothing is skipped"):
        demo.require_emulators()
    assert run(["demo", "--out", "never-made"]) == 2 and not Path("never-made").exists()


def test_the_people_are_not_those_of_the_training() -> None:
    found = re.search(r"seed (\d+)", shipped.provenance()["data"])
    assert found is not None and int(found[1]) != demo.SEED


def test_too_little_is_refused(tmp_path: Path) -> None:
    assert run(["demo", "--out", str(tmp_path / "a"), "--people", "1"]) == 2
    assert run(["demo", "--out", str(tmp_path / "a"), "--sequences", "2"]) == 2
    assert not (tmp_path / "a").exists()
