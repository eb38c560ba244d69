from __future__ import annotations

import pytest
import torch

from qgait.errors import QgaitError
from qgait.models.gaitbase import GaitBase
from qgait.models.registry import build, facts


@pytest.mark.parametrize(
    ("name", "config", "parameters", "giga_macs", "embedding"),
    [
        # GaitSet's and GaitBase's published sizes: 3.26 G, 12.9 G and 35.3 G multiply-accumulates for 30 frames
        ("gaitset", {}, 2_594_592, 3.26, (62, 256)),
        ("gaitset", {"channels": (64, 128, 256)}, 6_313_536, 12.91, (62, 256)),
        ("gaitbase", {}, 6_994_112, 35.35, (16, 256)),
        ("gaitbase", {"classes": 74}, 6_994_112, 35.35, (16, 256)),
        ("gaitsimple", {}, 810_784, 3.18, (16, 256)),
    ],
)
def test_size_and_cost(
    name: str, config: dict[str, object], parameters: int, giga_macs: float, embedding: tuple[int, int]
) -> None:
    found = facts(build(name, **config))
    assert found.parameters == parameters
    assert round((30 * found.macs_per_frame + found.macs_per_embedding) / 1e9, 2) == giga_macs
    assert found.embedding == embedding


def test_gaitbase_has_seven_million_values_with_its_statistics() -> None:
    assert round(sum(t.numel() for t in build("gaitbase").state_dict().values()) / 1e6, 2) == 7.0


def test_gaitset_has_opengaits_names() -> None:
    assert sorted(build("gaitset").state_dict()) == sorted(
        [f"set_block{b}.forward_block.{i}.conv.weight" for b in (1, 2, 3) for i in (0, 2)]
        + [f"gl_block{b}.{i}.conv.weight" for b in (2, 3) for i in (0, 2)]
        + ["Head.fc_bin"]
    )


def test_gaitbase_has_opengaits_names_and_shapes() -> None:
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    trunk = "Backbone.forward_block."
    expected = {f"{trunk}conv1.conv.weight", *(f"{trunk}bn1.{n}" for n in norm), "FCs.fc_bin", "BNNecks.fc_bin"}
    for layer in (1, 2, 3, 4):
        block = f"{trunk}layer{layer}.0."
        expected |= {f"{block}conv{i}.weight" for i in (1, 2)} | {f"{block}bn{i}.{n}" for i in (1, 2) for n in norm}
        if layer > 1:
            expected |= {f"{block}downsample.0.weight", *(f"{block}downsample.1.{n}" for n in norm)}
    expected |= {f"BNNecks.bn1d.{n}" for n in norm}
    state = build("gaitbase", classes=74).state_dict()
    assert set(state) == expected
    assert state["BNNecks.fc_bin"].shape == (16, 256, 74)
    assert state["BNNecks.bn1d.weight"].shape == (4096,)
    assert state["FCs.fc_bin"].shape == (16, 512, 256)


def test_the_classifier_is_cosine_of_normalised_features_part_by_part() -> None:
    torch.manual_seed(0)
    model = GaitBase(channels=(4, 4, 4, 4), embedding=6, classes=5).eval()
    necks = model.BNNecks
    torch.nn.init.normal_(necks.bn1d.running_mean)
    embeddings, logits = model.training_outputs(torch.rand(2, 3, 64, 44))
    assert logits is not None
    assert logits.shape == (2, 5, 16)
    sample, part, label = 1, 7, 3
    places = [c * 16 + part for c in range(6)]
    feature = (embeddings[sample, part] - necks.bn1d.running_mean[places]) / (1 + 1e-5) ** 0.5
    feature = feature * necks.bn1d.weight[places] + necks.bn1d.bias[places]
    cosine = torch.cosine_similarity(feature, necks.fc_bin[part, :, label], dim=0)
    torch.testing.assert_close(logits[sample, label, part], cosine)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(QgaitError, match=r"no backbone called 'gaitnet'.*gaitset, gaitbase, gaitsimple"):
        build("gaitnet")
