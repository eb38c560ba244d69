"""Released names of weights, and what is told from them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from float_models import FORMS, small_model

from qgait.errors import QgaitError
from qgait.models import checkpoint
from qgait.models.hstl import HSTL, REGIONS
from qgait.models.registry import BACKBONES, build

BIG = {"channels": (32, 64, 128, 256)}
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def norm(name: str) -> set[str]:
    return {f"{name}.{field}" for field in NORM}


def test_gaitpart_has_opengaits_names() -> None:
    motion = "TFA.pooling_func"
    rest = {
        f"{motion}.{net}.{p}.{i}.conv.weight" for net in ("conv1d3x1", "conv1d3x3") for p in range(16) for i in (0, 2)
    }
    for config, places in (({}, (0, 2, 5, 7, 10, 12)), (BIG, (0, 2, 5, 7, 10, 12, 14, 16))):
        state = build("gaitpart", **config).state_dict()
        trunk = {f"Backbone.forward_block.feature.{i}.conv.weight" for i in places}
        assert set(state) == trunk | rest | {"Head.fc_bin"}
        channels = 256 if config else 128
        assert state[f"{motion}.conv1d3x1.15.0.conv.weight"].shape == (channels // 4, channels, 3)
        assert state[f"{motion}.conv1d3x1.15.2.conv.weight"].shape == (channels, channels // 4, 1)
        assert state[f"{motion}.conv1d3x3.0.2.conv.weight"].shape == (channels, channels // 4, 3)
        assert state["Backbone.forward_block.feature.0.conv.weight"].shape == (32, 1, 5, 5)


def test_gaitgl_has_opengaits_names() -> None:
    tail = {"LTA.0.conv3d.weight", "HPP.p", "Head0.fc_bin"}
    branches = [f"{branch}_conv3d.conv3d.weight" for branch in ("global", "local")]
    small = {"conv3d.0.conv3d.weight"} | {f"GLConv{stage}.{b}" for stage in ("A0", "A1", "B2") for b in branches} | tail
    big = {f"conv3d.{i}.conv3d.weight" for i in (0, 2)} | tail
    big |= {f"GLConv{stage}.{i}.{b}" for stage in ("A0", "A1", "B2") for i in (0, 1) for b in branches}
    state = build("gaitgl", classes=74).state_dict()
    assert set(state) == small | norm("Bn") | {"Head1.fc_bin"}
    assert state["Head1.fc_bin"].shape == (64, 128, 74)
    assert state["LTA.0.conv3d.weight"].shape == (32, 32, 3, 1, 1)
    assert set(build("gaitgl", **BIG).state_dict()) == big | norm("Bn")
    state = build("gaitgl", bnneck=True, classes=74, **BIG).state_dict()
    assert set(state) == big | norm("BNNecks.bn1d") | {"BNNecks.fc_bin"}
    assert state["BNNecks.bn1d.weight"].shape == (64 * 256,)


@pytest.mark.parametrize("variant", list(REGIONS))
def test_hstl_has_its_released_names(variant: str) -> None:
    regions = REGIONS[variant]
    casia = variant == "casia-b"
    state = build("hstl", classes=5, regions=regions, **({} if casia else BIG)).state_dict()
    expected = {"HPP.p", "Head0.fc_bin", "Head1.fc_bin", "arme1.0.conv3d.weight", "astp1.hpp.0.p"} | norm("Bn")
    expected |= {f"{astp}.proj.conv.weight" for astp in ("astp1", "astp2", "astp2_fta")}
    expected |= {f"fta.mma.{i}.fcs.{k}.{w}" for i in range(len(regions[0])) for k in (0, 1) for w in ("weight", "bias")}
    expected |= {f"astp2_fta.hpp.{i}.p" for i in range(len(regions[0]))}
    if not casia:
        expected |= {"arme1.2.conv3d.weight", "astp3.proj.conv.weight"}
    for stage, rows in enumerate(regions, 2):
        expected |= {f"astp{stage}.hpp.{i}.p" for i in range(len(rows))}
        expected |= {f"arme{stage}.{k}.conv3d.{i}.conv3d.weight" for k in (0, 1) for i in range(len(rows))}
    assert set(state) == expected
    assert state["HPP.p"].shape == (1,) and state["HPP.p"].item() == 6.5
    assert state["fta.mma.0.fcs.1.weight"].shape == (64, 64, 1)
    assert state["arme2.0.conv3d.0.conv3d.weight"].shape == ((32 if casia else 64), 32, 3, 3, 3)


@pytest.mark.parametrize("mode", ["2d", "p3d", "3d"])
def test_deepgaitv2_has_opengaits_names(mode: str) -> None:
    state = build("deepgaitv2", mode=mode, classes=5).state_dict()
    expected = {"layer0.forward_block.0.weight", "FCs.fc_bin", "BNNecks.fc_bin"}
    expected |= norm("layer0.forward_block.1") | norm("BNNecks.bn1d")
    for number, depth in enumerate((1, 4, 4, 1), 1):
        for i in range(depth):
            flat = number == 1 or mode == "2d"
            block = f"layer{number}.forward_block.{i}" if flat else f"layer{number}.{i}"
            if mode == "p3d" and not flat:
                for k in (1, 2):
                    expected |= {f"{block}.conv{k}.forward_block.0.weight"} | norm(f"{block}.conv{k}.forward_block.1")
                expected |= {f"{block}.shortcut3d.weight"} | norm(f"{block}.sbn")
            else:
                for k in (1, 2):
                    expected |= {f"{block}.conv{k}.weight"} | norm(f"{block}.bn{k}")
            if number > 1 and i == 0:
                expected |= {f"{block}.downsample.0.weight"} | norm(f"{block}.downsample.1")
    assert set(state) == expected
    shortcut = "layer2.forward_block.0.downsample.0.weight" if mode == "2d" else "layer2.0.downsample.0.weight"
    assert state[shortcut].shape == (128, 64, *((1, 1) if mode == "2d" else (1, 1, 1)))


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_every_form_is_recognised_by_its_weights(name: str, form: dict[str, Any], tmp_path, capsys) -> None:
    head = {} if BACKBONES[name].classifier is None else {"classes": 7}
    model = small_model(name, seed=4, **form, **head)
    checkpoint.save(model, tmp_path / "model.pt")
    loaded = checkpoint.load(tmp_path / "model.pt")
    assert (loaded.name, loaded.head()) == (name, None)
    with torch.no_grad():
        frames = torch.rand(1, 4, 64, 44)
        torch.testing.assert_close(loaded(frames), model(frames), rtol=0, atol=0)
    printed = capsys.readouterr().err
    assert printed.count("only training needs them") == bool(head)
    whole = checkpoint.load(tmp_path / "model.pt", name, classifier=True)
    assert whole.state_dict().keys() == model.state_dict().keys()
    assert not head or whole.head() is not None
    assert capsys.readouterr().err == ""


def test_regions_of_ones_own_are_given_when_a_checkpoint_is_loaded(tmp_path) -> None:
    regions = ((30, 34), (8, 20, 20, 16))
    model = small_model("hstl", regions=regions)
    checkpoint.save(model, tmp_path / "model.pt")
    clip = torch.rand(1, 3, 64, 44)
    with torch.no_grad():
        assert torch.equal(checkpoint.load(tmp_path / "model.pt", regions=regions)(clip), model(clip))
        published = checkpoint.load(tmp_path / "model.pt")
        assert isinstance(published, HSTL) and published.regions == REGIONS["casia-b"]
    checkpoint.save(small_model("hstl", regions=((20, 20, 24), (32, 32))), tmp_path / "odd.pt")
    with pytest.raises(QgaitError, match=r"Of the 3 regions of arme2 no heights are known.*give 'regions'"):
        checkpoint.load(tmp_path / "odd.pt")
