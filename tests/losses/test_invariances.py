"""What no loss of embeddings may depend on, and what each must follow."""

from __future__ import annotations

import pytest
import torch
from loss_batches import LABELS, LOSSES, batch, triplet, value_and_gradient
from torch import Tensor

from qgait.losses.center_ranked import MODES, center_ranked_loss
from qgait.losses.generalized_inter_class import pairwise_softmax_loss, weighted_margin_loss
from qgait.losses.triplet import triplet_loss

OF_DISTANCES = ["triplet", *(f"center {mode}" for mode in MODES)]
OF_DIRECTIONS = ["softmax of cosines", "uniformity", "center of directions"]


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_the_batch(name: str) -> None:
    embeddings, labels = batch()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    loss, gradient = value_and_gradient(LOSSES[name](embeddings, labels), embeddings)
    other, moved = value_and_gradient(LOSSES[name](embeddings[order], labels[order]), embeddings)
    assert close(loss, other) and close(gradient, moved)
    wrong = LOSSES[name](embeddings[order], labels)
    assert not close(loss, wrong), "who is who matters"


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_the_parts_and_their_number(name: str) -> None:
    embeddings, labels = batch()
    loss = LOSSES[name](embeddings, labels)
    assert close(loss, LOSSES[name](embeddings[:, [2, 1, 0]], labels))  # part 1, which a filter looks at, stays
    assert close(loss, LOSSES[name](embeddings.repeat(1, 2, 1), labels))
    if name not in ("weighted_margin", "filtered softmax"):  # whose parts look at each other
        alone = torch.stack([LOSSES[name](embeddings[:, p : p + 1], labels) for p in range(3)])
        assert close(loss, alone.mean())


@pytest.mark.parametrize("name", LOSSES)
def test_the_names_of_the_labels(name: str) -> None:
    embeddings, labels = batch()
    loss = LOSSES[name](embeddings, labels)
    assert close(loss, LOSSES[name](embeddings, 1000 - 7 * labels))


@pytest.mark.parametrize("name", LOSSES)
def test_a_rotation_of_all_embeddings(name: str) -> None:
    embeddings, labels = batch()
    generator = torch.Generator().manual_seed(3)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))
    loss, gradient = value_and_gradient(LOSSES[name](embeddings, labels), embeddings)
    turned = (embeddings.detach() @ rotation).requires_grad_()
    other, slope = value_and_gradient(LOSSES[name](turned, labels), turned)
    assert close(loss, other) and close(gradient @ rotation, slope)


@pytest.mark.parametrize("name", LOSSES)
def test_an_offset_of_all_embeddings_matters_only_where_directions_do(name: str) -> None:
    embeddings, labels = batch()
    offset = torch.tensor([1.0, -2, 3, 0.5, 2], dtype=torch.float64)
    loss, gradient = value_and_gradient(LOSSES[name](embeddings, labels), embeddings)
    assert close(loss, LOSSES[name](embeddings + offset, labels)) == (name in OF_DISTANCES)
    if name in OF_DISTANCES:
        assert gradient.sum(0).abs().max() < 1e-10, "nothing pulls all of them at once"


@pytest.mark.parametrize("name", LOSSES)
def test_the_length_of_the_embeddings_matters_unless_only_directions_do(name: str) -> None:
    embeddings, labels = batch()
    loss = LOSSES[name](embeddings, labels)
    assert close(loss, LOSSES[name](embeddings * 3, labels)) == (name in OF_DIRECTIONS)


def test_lengths_and_settings_in_one_unit() -> None:
    """Scaling the embeddings and what is measured against them scales the loss, or leaves it."""
    x, labels = batch()
    for form in (triplet, weighted_margin_loss):
        assert close(form(3 * x, labels, margin=0.6), 3 * form(x, labels, margin=0.2))
    assert close(pairwise_softmax_loss(3 * x, labels, 0.9), pairwise_softmax_loss(x, labels, 0.1))
    for mode in MODES:
        scaled = center_ranked_loss(3 * x, labels, mode, 0.6, 0.3, 3.6)
        assert close(scaled, center_ranked_loss(x, labels, mode, 0.2, 0.1, 1.2) * (1 if mode == "softrank" else 3))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("labels", [[3, 3, 3, 3], [3]])
def test_of_one_person_there_is_nothing_to_learn(name: str, labels: list[int]) -> None:
    embeddings, targets = batch(labels)
    loss, gradient = value_and_gradient(LOSSES[name](embeddings, targets), embeddings)
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))
    if targets.shape == (1,):
        assert triplet_loss(embeddings, targets)[1].item() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_one_clip_a_person_is_a_batch_too(name: str) -> None:
    embeddings, labels = batch([0, 1, 2])
    near = embeddings.detach().mul(0.02).requires_grad_()
    loss, gradient = value_and_gradient(LOSSES[name](near, labels), near)
    assert loss != 0 and torch.isfinite(gradient).all() and gradient.abs().max() > 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_value_that_is_not_finite_is_seen_in_the_loss(name: str, value: float) -> None:
    embeddings, labels = batch()
    with torch.no_grad():
        embeddings[2, 1, 3] = value
        assert not torch.isfinite(LOSSES[name](embeddings, labels))


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_changes_no_bit_and_half_precision_is_widened(name: str) -> None:
    embeddings, labels = batch()
    embeddings = embeddings.detach().bfloat16().requires_grad_()
    expected = value_and_gradient(LOSSES[name](embeddings.float(), labels), embeddings)
    with torch.autocast("cpu", torch.bfloat16):
        loss = LOSSES[name](embeddings, labels)
    found = value_and_gradient(loss, embeddings)
    assert loss.dtype == torch.float32 and found[1].dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "uniformity"])  # which moves people, not clips
def test_descent_brings_the_clips_of_a_person_together(name: str) -> None:
    labels = torch.arange(12) // 4
    embeddings, _ = batch(labels.tolist(), parts=2)
    directions = name in OF_DIRECTIONS

    def recognised() -> float:
        with torch.no_grad():
            x = torch.nn.functional.normalize(embeddings, dim=-1) if directions else embeddings
            distances = torch.cdist(x.transpose(0, 1), x.transpose(0, 1)) + 99 * torch.eye(12)
            return (labels[distances.argmin(-1)] == labels).double().mean().item()

    assert recognised() < 0.5
    optimizer = torch.optim.Adam([embeddings], 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        LOSSES[name](embeddings, labels).backward()
        optimizer.step()
    assert recognised() > 0.8  # the mean mode tolerates one clip that is off


def test_the_batch_has_people_with_one_and_with_three_clips() -> None:
    assert sorted(LABELS.count(label) for label in set(LABELS)) == [1, 3, 3]
