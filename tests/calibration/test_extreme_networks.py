"""Networks that diverged or died: calibration gives one that can be exported, or says which layer is to blame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import backbone, clips
from torch import nn

from qgait.calibration.calibrate import calibrate
from qgait.cli import run
from qgait.data.walkers.dataset import synthesize
from qgait.errors import QgaitError
from qgait.export.checks import check_graph
from qgait.export.folding import fold
from qgait.models import checkpoint
from qgait.models.backbone import Backbone, describe
from qgait.quantizers.grid import Recipe
from qgait.runtime.reference import Reference


def calibrated(model: Backbone, method: str = "minmax"):
    return calibrate(model.name, describe(model), clips(4), Recipe.parse("w8a8"), method)[0]


def weights(model: Backbone) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.named_parameters() if value.ndim > 1}


@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
@pytest.mark.parametrize("place", [0, 1, -2, -1])
def test_one_huge_weight_is_named(name: str, place: int) -> None:
    model = backbone(name)
    with torch.no_grad():
        list(weights(model).values())[place].view(-1)[7] = 3e38
    with pytest.raises(QgaitError) as caught:
        check_graph(fold(calibrated(model)))
    assert len(str(caught.value)) < 400
    layer = max((x for x in describe(model) if x.weight is not None), key=lambda x: float(x.weight.abs().max()))
    assert layer.name in caught.value.problem


def test_a_huge_weight_is_refused_on_the_command_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthesize(tmp_path / "walkers", 1, 0, 4, conditions=("nm-01",), views=(36, 90))
    model = backbone("gaitset")
    with torch.no_grad():
        list(weights(model).values())[1].view(-1)[7] = 3e38
    checkpoint.save(model, tmp_path / "float.pt")
    out = tmp_path / "model.safetensors"
    command = ["calibrate", "--checkpoint", f"{tmp_path / 'float.pt'}", "--data", f"{tmp_path / 'walkers'}"]
    assert run([*command, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "overflows float32" in " ".join(said.split()) and "3e+38" in said and "Traceback" not in said
    assert not out.exists()


def test_a_variance_below_zero_is_named() -> None:
    model = backbone("gaitbase")
    norm = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    norm.running_var[2] = -1  # type: ignore[index]
    with pytest.raises(QgaitError, match=r"The weight of stem, with batch norm folded in, has NaN or infinity"):
        calibrated(model)


def all_zero(model: Backbone) -> None:
    for value in model.parameters():
        value.zero_()


def dead_layer(model: Backbone) -> None:
    list(weights(model).values())[2].zero_()


def dead_channels(model: Backbone) -> None:
    for value in weights(model).values():
        value[::2].zero_()


def tiny(model: Backbone) -> None:
    for value in weights(model).values():
        value.mul_(1e-9)


@pytest.mark.parametrize("method", ["mse", "minmax", "percentile"])
@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
@pytest.mark.parametrize("kill", [all_zero, dead_layer, dead_channels, tiny])
def test_what_is_zero_can_be_exported(kill: Callable[[Backbone], None], name: str, method: str) -> None:
    model = backbone(name)
    with torch.no_grad():
        kill(model)
    network = calibrated(model, method)
    graph = fold(network)
    check_graph(graph)
    clip = clips(1)[0]
    codes = network.embed(clip, torch.float64)
    np.testing.assert_array_equal(Reference(graph).embed(clip), codes)
    if kill is all_zero:
        assert not (codes - graph.tensors[graph.output].zero_point).any()
