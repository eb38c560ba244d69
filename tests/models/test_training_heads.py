"""Classifiers, initial weights and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from example_graphs import silhouettes
from float_models import small_model
from torch import nn

from qgait.errors import QgaitError
from qgait.models.registry import build


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
