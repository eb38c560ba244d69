"""The Center-Ranked paper's simple model, the whole way from a checkpoint to a verified ONNX file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from float_models import small_model
from small_networks import backbone, clips, network

from qgait.cli import run
from qgait.export.folding import fold
from qgait.models import checkpoint
from qgait.models.backbone import describe
from qgait.verification.parity import compare_fake, expected_codes


def test_it_is_gaitset_without_the_global_branch() -> None:
    """The parts' 16 finest strips of GaitSet, given the same weights, are those of this model."""
    gaitset, simple = small_model("gaitset", seed=2), small_model("gaitsimple")
    state = gaitset.state_dict()
    renamed = {
        f"block{b}.{i}.conv.weight": f"set_block{b}.forward_block.{i}.conv.weight" for b in (1, 2, 3) for i in (0, 2)
    }
    weights = {key: state[other] for key, other in renamed.items()}
    simple.load_state_dict(weights | {"parts.fc_bin": state["Head.fc_bin"][:16]})
    frames = torch.from_numpy(clips(1)[0])[None].float() / 255
    with torch.no_grad():
        torch.testing.assert_close(simple(frames), gaitset(frames)[:, :16])
    kinds = [layer.kind for layer in describe(simple)]
    assert kinds == ["conv", "conv", "max_pool"] * 2 + ["conv", "conv", "frame_max", "strip_pool", "part_linear"]


@pytest.mark.parametrize("bits", ["w8a8", "w2a2"])
def test_fake_in_float64_equals_the_integers(bits: str) -> None:
    net = network("gaitsimple", bits)
    graph, some = fold(net), clips(3, 5, seed=30)
    result = compare_fake(net, graph, some, expected_codes(graph, some))
    assert result.mismatches_float64 == 0 and result.min_cosine > 0.999
    assert compare_fake(
        network("gaitsimple", bits, seed=1), graph, some, expected_codes(graph, some)
    ).mismatches_float64


def test_every_command_takes_it(tmp_path: Path) -> None:
    model, onnx, data, out = (str(tmp_path / name) for name in ("m.safetensors", "m.onnx", "walkers", "verify.json"))
    checkpoint.save(backbone("gaitsimple"), tmp_path / "float.pt")
    assert run(["data", "synth", data, "--subjects", "2", "--frames", "8"]) == 0
    calibrate = ["calibrate", "--checkpoint", str(tmp_path / "float.pt"), "--data", data, "--out", model]
    assert run([*calibrate, "--bits", "w4a4", "--sequences", "4"]) == 0
    assert run(["export", model, "--out", onnx]) == 0
    runtimes = [part for name in ("reference", "ort") for part in ("--runtime", name)]
    given = ["--model", model, "--data", data, "--sequences", "3", "--frames", "5", "--json", out]
    assert run(["verify", onnx, *given, *runtimes]) == 0
    found = json.loads(Path(out).read_text())
    assert found["codes"] == 3 * 16 * 20 and found["fake"]["mismatches_float64"] == 0
    assert [found["runtimes"][name]["mismatches"] for name in ("reference", "ort")] == [0, 0]
