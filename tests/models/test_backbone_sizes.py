"""Published parameter counts and multiply-accumulates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from float_models import small_model

from qgait.models.backbone import describe
from qgait.models.hstl import REGIONS
from qgait.models.registry import build, clip_macs, facts, macs

BIG = {"channels": (32, 64, 128, 256)}
SHALLOW = {"depths": (1, 1, 1, 1)}


@pytest.mark.parametrize(
    ("name", "config", "parameters", "millions", "giga_macs", "embedding"),
    [
        # published sizes as they are printed, without the classifier, some with and some without the batch norms'
        # statistics; MACs for 30 frames
        ("gaitpart", {}, 1_204_000, "1.20", "3.20", (16, 128)),
        ("gaitpart", BIG, 4_841_248, "4.84", "7.93", (16, 256)),
        ("gaitgl", {}, 2_490_465, "2.49", "12.6", (64, 128)),
        ("gaitgl", BIG, 11_193_697, "11.2", "58.6", (64, 256)),
        ("gaitgl", {"bnneck": True}, 2_490_209, "2.49", "12.6", (64, 128)),
        ("hstl", {}, 4_054_378, "4.055", "25.8", (73, 128)),
        ("hstl", BIG | {"regions": REGIONS["oumvlp"]}, 23_145_203, "23.15", "29.3", (50, 256)),
        ("hstl", BIG | {"regions": REGIONS["gait3d"]}, 19_391_087, "19.39", "29.3", (46, 256)),
        ("deepgaitv2", {"mode": "2d"}, 11_422_400, "11.43", "72.7", (16, 256)),
        ("deepgaitv2", {"mode": "p3d"}, 13_195_968, "13.20", "85.2", (16, 256)),
        ("deepgaitv2", {"mode": "3d"}, 29_559_488, "29.57", "203.5", (16, 256)),
        ("deepgaitv2", {"mode": "2d"} | SHALLOW, 6_994_112, "7.00", "35.3", (16, 256)),
        ("deepgaitv2", {"mode": "p3d"} | SHALLOW, 8_028_096, "8.04", "41.6", (16, 256)),
        ("deepgaitv2", {"mode": "3d"} | SHALLOW, 16_283_840, "16.29", "91.4", (16, 256)),
    ],
)
def test_size_and_cost(
    name: str, config: dict[str, Any], parameters: int, millions: str, giga_macs: str, embedding: tuple[int, int]
) -> None:
    model = build(name, **config)
    found, layers = facts(model), describe(model)
    values = sum(tensor.numel() for tensor in model.state_dict().values())
    digits = len(millions.split(".")[1])
    assert round(parameters / 1e6, digits) <= float(millions) <= round(values / 1e6, digits)
    assert found.parameters == parameters
    assert f"{clip_macs(layers, 30) / 1e9:.{len(giga_macs.split('.')[1])}f}" == giga_macs
    assert found.embedding == embedding


@pytest.mark.parametrize(
    ("name", "config", "classes", "millions"),
    [
        ("gaitgl", {}, 74, "3.10"),
        ("gaitgl", BIG, 5153, "95.6"),
        ("hstl", {}, 74, "4.746"),
        ("hstl", BIG | {"regions": REGIONS["oumvlp"]}, 5153, "89.10"),
        ("hstl", BIG | {"regions": REGIONS["gait3d"]}, 3000, "54.72"),
    ],
)
def test_size_with_the_classifier(name: str, config: dict[str, Any], classes: int, millions: str) -> None:
    with torch.device("meta"):
        model = build(name, classes=classes, **config)
    values = sum(tensor.numel() for tensor in model.state_dict().values())
    assert f"{values / 1e6:.{len(millions.split('.')[1])}f}" == millions


def test_a_stride_over_time_divides_the_cost_of_what_follows() -> None:
    layers = describe(small_model("gaitgl"))
    whole = {frames: clip_macs(layers, frames) for frames in (3, 4, 5, 6)}
    conv, lta = (layer for layer in layers if layer.name in ("conv1", "lta"))
    assert conv.weight is not None and lta.weight is not None
    assert whole[4] - whole[3] == whole[5] - whole[4] == conv.weight.numel() * 64 * 44
    assert whole[6] - whole[5] > whole[5] - whole[4] + lta.weight.numel() * 64 * 44
    frame, embedding = macs(layers)
    assert abs((whole[6] - whole[3]) / 3 - frame) < 1
    assert whole[3] - 3 * frame == pytest.approx(embedding, abs=3)
