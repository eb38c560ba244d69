"""Clip lengths, HSTL's regions and its choice between two poolings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from example_graphs import silhouettes
from float_models import OTHER_FORMS, SMALL, small_model
from torch import nn

from qgait.errors import QgaitError
from qgait.models.float_ops import FloatOps
from qgait.models.registry import build

BIG = {"channels": (32, 64, 128, 256)}


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
    ("config", "sentence"),
    [
        ({"regions": ((40, 23), (8, 32, 16, 8))}, r"regions \[40, 23\] of arme2 sum to 63 rows; its maps have 64"),
        ({"regions": ((40, 24), (8, 40, 8, 8, 0))}, r"arme3 sum to 64 rows.*positive heights that sum to 64"),
        ({"regions": ((40, 24),)}, "1 region lists are given for 2 stages"),
        (BIG | {"regions": ((40, 24), (8, 24), (16, 16))}, r"\[40, 24\] of arme2 sum to 64 rows; its maps have 32"),
    ],
)
def test_regions_that_do_not_fill_the_map_are_refused(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(QgaitError, match=sentence):
        build("hstl", **config)


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
