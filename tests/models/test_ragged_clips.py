"""Clips of several lengths in one tensor, as training without a fixed number of frames has them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from example_graphs import silhouettes
from float_models import FORMS, small_model

LENGTHS = [3, 1, 5]


def clips() -> list[torch.Tensor]:
    return [torch.from_numpy(silhouettes(n, i)).double()[None] / 255 for i, n in enumerate(LENGTHS)]


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_each_clip_has_the_embedding_that_it_has_alone(name: str, form: dict[str, Any]) -> None:
    model = small_model(name, seed=1, **form).double()
    with torch.no_grad():
        alone = torch.cat([model(clip) for clip in clips()])
        together = model(torch.cat(clips(), dim=1), LENGTHS)
        other = model(torch.cat(clips(), dim=1), [2, 2, 5])
    assert together.shape == alone.shape
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(other[:2], alone[:2], rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_clips_alone() -> None:
    model = small_model("gaitset", seed=1).double()
    weights = torch.arange(3.0, dtype=torch.float64)[:, None, None] + 1
    gradients = []
    for embeddings in (torch.cat([model(c) for c in clips()]), model(torch.cat(clips(), dim=1), LENGTHS)):
        gradients.append(torch.autograd.grad((embeddings * weights).square().sum(), list(model.parameters())))
    for alone, together in zip(*gradients, strict=True):
        assert alone.abs().max() > 0
        torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)


def test_a_classifier_sees_one_row_a_clip() -> None:
    model = small_model("gaitbase", classes=4)
    embeddings, logits = model.training_outputs(torch.cat(clips(), dim=1).float(), LENGTHS)
    assert embeddings.shape[0] == 3
    assert logits is not None and logits.shape == (3, 4, 16)


def test_batch_norms_see_all_clips_at_once_in_training() -> None:
    model = small_model("deepgaitv2", mode="3d").train()
    whole = torch.cat(clips(), dim=1).float()
    model(whole, LENGTHS)
    together = model.layer3[0].bn1.running_mean.clone()
    other = small_model("deepgaitv2", mode="3d").train()
    for clip in clips():
        other(clip.float())
    assert model.layer3[0].bn1.num_batches_tracked == 1 and other.layer3[0].bn1.num_batches_tracked == 3
    assert not torch.allclose(other.layer3[0].bn1.running_mean, together, atol=1e-4)


@pytest.mark.parametrize("lengths", [[3, 1, 4], [9, 0], [], [4, 6]])
def test_lengths_must_be_those_of_the_frames(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="cannot be parted"):
        small_model("gaitset")(torch.zeros(1, 9, 64, 44), lengths)
    with pytest.raises(ValueError, match="cannot be parted"):
        small_model("gaitset")(torch.zeros(2, 9, 64, 44), [9])
