"""Every command checks where it will write before it works, and gives its facts as JSON, also to a pipe."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_tree import leaves
from example_graphs import gaitset_graph, silhouettes

from qgait.cli import cli, run
from qgait.commands.paths import OutputFile
from qgait.export.onnx.writer import write

COMMANDS = {name: command for name, command in leaves(cli).items() if name != "demo"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_gives_its_facts_as_json(name: str) -> None:
    (option,) = (p for p in COMMANDS[name].params if "--json" in p.opts)
    assert isinstance(option.type, OutputFile) and option.type.dash


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["embed", "x", "y", "--out", "e.txt"], "e.txt does not end in .npz"),
        (["embed", "x", "y", "--out", "gone/e.npz"], "gone/e.npz cannot be written: there is no folder gone."),
        (["verify", "x", "--model", "m", "--data", "d", "--json", "gone/v.json"], "gone/v.json cannot be written"),
        (["export", "x", "--out", "folder"], "folder is a folder"),
        (["calibrate", "--checkpoint", "x", "--data", "d", "--out", "gone/m"], "gone/m cannot be written"),
        (["targets", "--json", "folder"], "folder is a folder"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_where_nothing_can_be_written_is_said_first(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    assert run(words) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_json_to_standard_output_can_be_piped() -> None:
    done = subprocess.run([sys.executable, "-m", "qgait", "targets", "--json", "-"], capture_output=True, check=True)
    facts = json.loads(done.stdout)
    assert {"host", "arm", "cortex-m55"} <= {target["name"] for target in facts["processors"]}
    assert "ethos-u55-128" in {npu["name"] for npu in facts["npus"]}
    assert b"convolution kernels" in done.stderr, "the table is on standard error"


def test_tables_are_on_standard_output_again_after_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["targets", "--json", "-"]) == 0
    json.loads(capsys.readouterr().out)
    assert run(["targets"]) == 0
    assert "convolution kernels" in capsys.readouterr().out
    assert not Path("-").exists()


def test_data_train_and_embed_tell_what_they_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def facts() -> dict:  # type: ignore[type-arg]
        return json.loads(Path("facts.json").read_text())

    json_file = ["--json", "facts.json"]
    assert run(["data", "synth", "walks", "--subjects", "2", "--frames", "4", *json_file]) == 0
    assert facts() == {"folder": "walks", "subjects": 2, "sequences": 220, "seed": 0}

    small = ["--people", "2", "--clips", "2", "--frames", "2", "--iterations", "2", "--set", "model.channels=4,6,8"]
    assert run(["train", "--data", "walks", "--out", "run", *small, *json_file]) == 0
    trained = facts()
    assert (trained["model"], trained["iterations"], trained["people"]) == ("gaitset", 2, 2)
    assert Path(trained["file"]).is_file() and trained["last_loss"] > 0 and trained["bits"] is None

    write(gaitset_graph(channels=(2, 3, 4)), Path("model.onnx"))
    np.save("walk.npy", silhouettes(3, 1))
    assert run(["embed", "model.onnx", "walk.npy", "--out", "e.npz", *json_file]) == 0
    made = facts()
    assert made["names"] == ["walk.npy"] and (made["level"], made["runtime"]) == ("int", "ort")
    assert tuple(made["embeddings"]) == np.load("e.npz")["embeddings"].shape


def test_prepared_and_failed_sequences_are_told(tmp_path: Path) -> None:
    person = np.zeros((120, 80), np.uint8)
    person[10:110, 25:55] = 255
    for view, picture in (("000", person), ("090", np.zeros_like(person))):
        folder = tmp_path / "raw" / "001" / "nm-01" / view
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "1.png"), picture)
    facts = tmp_path / "facts.json"
    assert run(["data", "prepare", str(tmp_path / "raw"), str(tmp_path / "out"), "--json", str(facts)]) == 2
    found = json.loads(facts.read_text())
    assert found["written"] == {"001/nm-01/000": 1} and list(found["failed"]) == ["001/nm-01/090"]


def test_a_failure_while_writing_names_the_file_that_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OutputFile, "convert", lambda self, value, param, ctx: Path(value))  # it vanished since
    assert run(["targets", "--json", str(tmp_path / "gone" / "facts.json")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{tmp_path}/gone/facts.json cannot be written" in said
