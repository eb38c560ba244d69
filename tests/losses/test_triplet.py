from __future__ import annotations

import pytest
import torch
from loss_batches import LABELS, batch, slow_triplet, value_and_gradient

from qgait.losses.triplet import triplet_loss


# the last two are no P x K: subjects with fewer sequences than K are allowed
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [4, 4, 4, 9, 9, 1], LABELS])
@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_value_gradient_and_share_are_those_of_the_loop(labels: list[int], margin: float) -> None:
    embeddings, targets = batch(labels)
    loss, share = triplet_loss(embeddings, targets, margin)
    expected, slow_share = slow_triplet(embeddings, targets, margin)
    assert expected > 0.1 and 0.1 < slow_share < 1
    torch.testing.assert_close(
        value_and_gradient(loss, embeddings), value_and_gradient(expected, embeddings), rtol=1e-7, atol=1e-9
    )
    assert share.item() == pytest.approx(slow_share)
    assert not share.requires_grad


def test_float32_is_as_near_as_float32_can_be() -> None:
    embeddings, labels = batch()
    loss, share = triplet_loss(embeddings.float(), labels)
    expected, slow_share = slow_triplet(embeddings, labels, 0.2)
    assert loss.dtype == share.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert share.item() == pytest.approx(slow_share)


def test_the_gradient_is_that_of_finite_differences() -> None:
    embeddings, labels = batch(parts=2, channels=3)
    assert torch.autograd.gradcheck(lambda x: triplet_loss(x, labels, 0.5)[0], embeddings)


def test_people_who_are_far_apart_cost_nothing() -> None:
    embeddings = torch.zeros(4, 2, 3, requires_grad=True)
    far = embeddings + torch.tensor([0.0, 0.0, 5.0, 5.0])[:, None, None]
    loss, share = triplet_loss(far, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == 0 and share.item() == 0
    assert torch.equal(embeddings.grad, torch.zeros_like(embeddings))  # type: ignore[arg-type]


def test_a_part_without_active_triplets_counts_as_zero() -> None:
    embeddings, labels = batch()
    apart = embeddings.detach().clone()
    apart[:, 1] = labels[:, None] * 10.0
    expected, _ = slow_triplet(apart[:, ::2], labels, 0.2)
    assert triplet_loss(apart, labels)[0].item() == pytest.approx(expected.item() * 2 / 3)


def test_equal_embeddings_cost_the_margin_and_their_gradient_is_finite() -> None:
    embeddings = torch.full((4, 2, 3), 7.0, requires_grad=True)
    loss, share = triplet_loss(embeddings, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(0.2) and share.item() == 1
    assert torch.equal(embeddings.grad, torch.zeros_like(embeddings))  # type: ignore[arg-type]
