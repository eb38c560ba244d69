"""``qgait report`` on data that no protocol fits, with bundles that run here, cannot run, or give wrong codes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from example_graphs import silhouettes
from small_networks import backbone, clips, network

from qgait.cli import run
from qgait.compiler.bundle import write as write_bundle
from qgait.errors import QgaitError
from qgait.export.folding import fold
from qgait.export.onnx.writer import write
from qgait.models import checkpoint
from qgait.models.registry import build
from qgait.quantizers import model_file
from qgait.report import bundles as opening
from qgait.runtime.bundle import Bundle
from qgait.runtime.compiled import Stream
from qgait.targets.processors import find


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, its ONNX file, a bundle for this machine, and walks whose names are no data set's."""
    folder = tmp_path_factory.mktemp("mine")
    net = network("gaitset")
    graph = fold(net)
    checkpoint.save(backbone("gaitset"), folder / "float.pt")
    checkpoint.save(backbone("gaitbase"), folder / "other.pt")
    model_file.save(net, folder / "model.safetensors")
    write(graph, folder / "model.onnx")
    write_bundle(graph, find("host"), folder / "host", clips(1, 3) + clips(1, 4))
    for number, (who, walk) in enumerate((w, n) for w in ("anna", "ben", "cleo") for n in ("yard", "street")):
        path = folder / "walks" / who / walk / "phone"
        path.mkdir(parents=True)
        (path / "phone.pkl").write_bytes(pickle.dumps(silhouettes(6, number)))
    return folder


def report(mine: Path, out: Path, *more: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the facts and the page."""
    words = ["report", str(mine / "model.onnx"), "--model", str(mine / "model.safetensors")]
    words += ["--data", str(mine / "walks"), "--out", str(out / "report.html"), "--json", str(out / "facts.json")]
    code = run([*words, *more])
    facts = json.loads((out / "facts.json").read_text()) if (out / "facts.json").exists() else {}
    return code, facts, (out / "report.html").read_text() if facts else ""


def test_what_the_data_do_not_tell_is_said(mine: Path, tmp_path: Path) -> None:
    code, facts, page = report(mine, tmp_path, "--bundle", str(mine / "host"))
    assert code == 0 and facts["verdict"]["holds"] and facts["verdict"]["runtimes"] == ["reference", "ort", "host"]
    assert "from PyTorch to host code on this machine." in page
    assert facts["recognition"]["conditions"] == [] and facts["recognition"]["views"] is None
    assert "No rank-1 by the protocol casia-b: The data have no gallery sequences" in page
    assert "The equal error rate is that of all pairs of 6 walks, whatever their views." in page
    assert all(result["eer"] is not None for result in facts["recognition"]["results"])
    host = facts["kernels"][0]
    assert host["unit"] == "ms" and all(kernel["cost"] > 0 for kernel in host["kernels"])
    assert facts["commands"][0]["command"].startswith("qgait report ")


def test_without_a_bundle_only_what_took_part_is_claimed(mine: Path, tmp_path: Path) -> None:
    code, facts, page = report(mine, tmp_path)
    assert code == 0 and facts["kernels"] == []
    assert "from PyTorch to ONNX Runtime." in page and "No bundle was given." in page


def test_the_float_level_is_that_of_the_checkpoint(mine: Path, tmp_path: Path) -> None:
    code, facts, page = report(mine, tmp_path)
    assert code == 0 and "The float level was not evaluated: no --checkpoint was given." in page
    assert "Without the float network" in page and {row["sqnr_db"] for row in facts["errors"]} == {None}
    code, facts, page = report(mine, tmp_path, "--checkpoint", str(mine / "float.pt"))
    assert code == 0 and facts["recognition"]["results"][0]["level"] == "float" and "Without the float" not in page
    assert all(10 < row["sqnr_db"] < 80 for row in facts["errors"])
    assert f"--checkpoint {mine / 'float.pt'}" in facts["commands"][0]["command"]


def test_a_checkpoint_of_another_network_is_refused(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(mine, tmp_path, "--checkpoint", str(mine / "other.pt"))[0] == 2
    assert "other.pt" in capsys.readouterr().err
    torch.manual_seed(0)
    checkpoint.save(build("gaitset", channels=(8, 12, 20), embedding=20), tmp_path / "wider.pt")
    assert report(mine, tmp_path, "--checkpoint", str(tmp_path / "wider.pt"))[0] == 2
    assert "wider.pt is not the float network of this model" in capsys.readouterr().err


def test_a_bundle_that_cannot_run_here_is_named(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(bundle: Bundle) -> list[str]:
        raise QgaitError("There is no emulator.", "apt install qemu-user.")

    monkeypatch.setattr(opening, "start", refuse)
    code, facts, page = report(mine, tmp_path, "--bundle", str(mine / "host"))
    sentence = "host was not run, compared or measured: There is no emulator. To run it, apt install qemu-user."
    assert code == 0 and facts["verdict"]["unchecked"] == [sentence] and sentence in page
    assert facts["verdict"]["runtimes"] == ["reference", "ort"]


def test_a_wrong_code_of_a_bundle_fails(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Stream.embedding

    def wrong(self: Stream) -> Any:
        codes = right(self)
        codes.flat[3] ^= np.int8(1)
        return codes

    monkeypatch.setattr(Stream, "embedding", wrong)
    code, facts, page = report(mine, tmp_path, "--bundle", str(mine / "host"))
    assert code == 1 and facts["verdict"]["differing"] == {"host": 6} and "It did not hold." in page


def test_a_bundle_of_another_network_is_refused(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    write_bundle(fold(network("gaitbase")), find("host"), other, clips(1, 3) + clips(1, 4))
    assert report(mine, tmp_path, "--bundle", str(other))[0] == 2
    assert "compiled from this ONNX file" in capsys.readouterr().err
