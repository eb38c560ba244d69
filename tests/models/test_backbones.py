"""Published sizes, names of weights, and heads of every backbone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from example_graphs import silhouettes
from float_models import FORMS, OTHER_FORMS, SMALL, small_model
from torch import nn

from qgait.errors import QgaitError
from qgait.models import checkpoint
from qgait.models.backbone import describe
from qgait.models.float_ops import FloatOps
from qgait.models.hstl import HSTL, REGIONS
from qgait.models.registry import build, clip_macs, facts, macs

BIG = {"channels": (32, 64, 128, 256)}
SHALLOW = {"depths": (1, 1, 1, 1)}
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


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
    head = {} if name in ("gaitset", "gaitsimple", "gaitpart") else {"classes": 7}
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


@pytest.mark.parametrize(("name", "form"), [*OTHER_FORMS, *((name, {}) for name in SMALL)])
def test_every_length_has_an_embedding(name: str, form: dict[str, Any]) -> None:
    model = small_model(name, **form)
    clip = torch.from_numpy(silhouettes(8)).float()[None] / 255
    with torch.no_grad():
        found = torch.cat([model(clip[:, :count]) for count in range(1, 9)])
        assert found.isfinite().all() and found.shape[0] == 8
        if model.min_frames == 3:
            torch.testing.assert_close(found[:2], torch.cat([model(clip[:, [0, 0, 0]]), model(clip[:, [0, 1, 0, 1]])]))


@pytest.mark.parametrize(
    ("name", "config"),
    [("gaitgl", {}), ("gaitgl", {"bnneck": True}), ("hstl", {}), ("deepgaitv2", {}), ("gaitbase", {})],
)
def test_training_reaches_every_weight(name: str, config: dict[str, Any]) -> None:
    model = small_model(name, **config)
    model.new_classifier(5)
    model.train()
    embeddings, logits = model.training_outputs(torch.from_numpy(silhouettes(8)).float().view(2, 4, 64, 44) / 255)
    parts, channels = embeddings.shape[1:]
    assert (parts, channels) == model.embedding_shape
    assert logits is not None and logits.shape == (2, 5, parts)
    (embeddings.square().sum() + logits.square().sum()).backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


def test_the_linear_classifier_reads_normed_embeddings_part_by_part() -> None:
    for name in ("gaitgl", "hstl"):
        model = small_model(name, classes=5)
        embeddings, logits = model.training_outputs(torch.rand(2, 4, 64, 44))
        assert logits is not None
        torch.testing.assert_close(logits[1, :, 6], embeddings[1, 6] @ model.Head1.fc_bin[6])
        plain = small_model(name)
        plain.Bn.reset_running_stats()
        nn.init.ones_(plain.Bn.weight)
        nn.init.zeros_(plain.Bn.bias)
        assert not torch.allclose(plain(torch.ones(1, 4, 64, 44)), model(torch.ones(1, 4, 64, 44)), atol=1e-3)


def test_without_a_classifier_training_has_no_logits() -> None:
    for name in ("gaitpart", "gaitset", "gaitsimple"):
        model = small_model(name)
        assert model.training_outputs(torch.rand(2, 3, 64, 44))[1] is None
        with pytest.raises(QgaitError, match=f"{name} has no classifier"):
            model.new_classifier(5)


def test_the_start_is_opengaits() -> None:
    torch.manual_seed(0)
    for name, config in (("hstl", {}), ("deepgaitv2", {"mode": "3d", "channels": (16, 16, 16, 16)}), ("gaitpart", {})):
        for key, module in build(name, **config).named_modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
                fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(module.weight)
                bound = (6 / (fan_in + fan_out)) ** 0.5
                assert 0.9 * bound < module.weight.abs().max() <= bound, key
                assert module.bias is None or not module.bias.any()
            elif isinstance(module, nn.BatchNorm3d):
                assert 0 < (module.weight - 1).abs().max() < 0.1 and not module.bias.any()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"regions": ((40, 23), (8, 32, 16, 8))}, r"regions \[40, 23\] of arme2 sum to 63 rows; its maps have 64"),
        ({"regions": ((40, 24), (8, 40, 8, 16, -8))}, r"arme3 sum to 64 rows.*positive heights that sum to 64"),
        ({"regions": ((40, 24),)}, "1 region lists are given for 2 stages"),
        (BIG | {"regions": ((40, 24), (8, 24), (16, 16))}, r"\[40, 24\] of arme2 sum to 64 rows; its maps have 32"),
    ],
)
def test_regions_that_do_not_fill_the_map_are_refused(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(QgaitError, match=sentence):
        build("hstl", **config)


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


def test_fta_is_a_softmax_over_two_poolings() -> None:
    model = small_model("hstl", seed=5).double()
    choice = model.fta.mma[1]
    torch.manual_seed(6)
    x = torch.randn(2, 11, 4, 8, 5, dtype=torch.float64)
    with torch.no_grad():
        wide = x.transpose(1, 2)
        branches = torch.stack(
            [nn.MaxPool3d((3, 1, 1), (3, 1, 1))(wide), nn.MaxPool3d((5, 1, 1), (3, 1, 1), (1, 0, 0))(wide)]
        )
        mean = branches.sum(0).mean((-1, -2))
        weights = torch.stack([fc(mean) for fc in choice.fcs]).softmax(0)
        expected = (weights[..., None, None] * branches).sum(0).transpose(1, 2)
        torch.testing.assert_close(choice.run(FloatOps(), x, "a"), expected)
    assert (weights[0] - 0.5).abs().max() > 0.1
