from __future__ import annotations

import math

import pytest
import torch
from loss_batches import LABELS, batch, cosine, slow_triplet, triples, value_and_gradient
from torch import Tensor

from qgait.losses.generalized_inter_class import pairwise_softmax_loss, uniformity_loss, weighted_margin_loss
from qgait.losses.triplet import triplet_loss


def slow_weights(embeddings: Tensor) -> dict[tuple[int, int, int], float]:
    n, parts, _ = embeddings.shape
    v = {
        (p, i, j): 1 - (cosine(embeddings[i, p], embeddings[j, p]).item() + 1) / 2 + 0.01
        for p in range(parts)
        for i in range(n)
        for j in range(n)
    }
    return {pair: 1 + value / max(v.values()) for pair, value in v.items()}


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], LABELS])
@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_the_weighted_margin_form_equals_the_loop(labels: list[int], margin: float) -> None:
    embeddings, targets = batch(labels)
    loss = weighted_margin_loss(embeddings, targets, margin)
    expected, share = slow_triplet(embeddings, targets, margin, slow_weights(embeddings))
    assert expected > 0.1 and 0.1 < share < 1
    torch.testing.assert_close(
        value_and_gradient(loss, embeddings), value_and_gradient(expected, embeddings), rtol=1e-7, atol=1e-9
    )


def test_its_weights_have_no_gradient() -> None:
    """So it is not the slope of its own value: finite differences move the weights too."""
    embeddings, labels = batch(parts=2, channels=3)
    assert torch.autograd.gradcheck(lambda x: triplet_loss(x, labels)[0], embeddings)
    assert not torch.autograd.gradcheck(lambda x: weighted_margin_loss(x, labels), embeddings, raise_exception=False)


def test_the_largest_weight_is_two_and_is_sought_in_all_parts() -> None:
    """The part with opposite embeddings has weight 2; beside it, the one with a right angle has less than alone."""
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)[:, None]
    square = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)[:, None]
    labels = torch.tensor([0, 0, 1])

    def expected(positive: float, weight: float) -> float:
        """Samples 0 and 2 coincide, so 1 is as far from both; what is far away costs nothing."""
        near = weight * positive
        terms = [0.2, near + 0.2, near - near + 0.2, 0.2]  # (anchor, positive, negative): 002, 012, 102, 220
        return sum(terms) / len(terms)  # 112 and 221 are not active

    both = weighted_margin_loss(torch.cat((opposite, square), 1), labels).item()
    assert weighted_margin_loss(opposite, labels).item() == pytest.approx(expected(2, 2))
    assert weighted_margin_loss(square, labels).item() == pytest.approx(expected(math.sqrt(2), 2))
    in_both = expected(math.sqrt(2), 1 + 0.51 / 1.01)
    assert both == pytest.approx((expected(2, 2) + in_both) / 2)


def slow_softmax(
    embeddings: Tensor, labels: Tensor, temperature: float, normalize: bool, filter_part: int | None
) -> Tensor:
    def similarity(p: int, i: int, j: int) -> Tensor:
        a, b = embeddings[i, p], embeddings[j, p]
        return cosine(a, b) if normalize else (a * b).sum()

    terms = []
    for p in range(embeddings.shape[1]):
        for a, i, j in triples(labels):
            logits = torch.stack((similarity(p, a, i), similarity(p, a, j))) / temperature
            term = torch.nn.functional.cross_entropy(logits[None], torch.tensor([0]))
            if filter_part is not None and similarity(filter_part, a, i) < similarity(filter_part, a, j):
                term = term / 2
            terms.append(term)
    return torch.stack(terms).mean()


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], LABELS])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("filter_part", [None, 0, 2])
def test_the_softmax_form_equals_the_loop(
    labels: list[int], temperature: float, normalize: bool, filter_part: int | None
) -> None:
    embeddings, targets = batch(labels)
    loss = pairwise_softmax_loss(embeddings, targets, temperature, normalize, filter_part)
    expected = slow_softmax(embeddings, targets, temperature, normalize, filter_part)
    torch.testing.assert_close(
        value_and_gradient(loss, embeddings), value_and_gradient(expected, embeddings), rtol=1e-7, atol=1e-9
    )


def test_its_switches_matter() -> None:
    embeddings, labels = batch()
    values = {
        round(pairwise_softmax_loss(embeddings, labels, temperature, normalize, part).item(), 6)
        for temperature in (0.1, 1.0)
        for normalize in (False, True)
        for part in (None, 0, 1, 2)
    }
    assert len(values) == 16


@pytest.mark.parametrize("filter_part", [None, 1])
def test_its_gradient_is_that_of_finite_differences(filter_part: int | None) -> None:
    embeddings, labels = batch(parts=2, channels=3)
    assert torch.autograd.gradcheck(lambda x: pairwise_softmax_loss(x, labels, 0.3, False, filter_part), embeddings)


def test_far_from_the_border_it_neither_overflows_nor_loses_its_gradient() -> None:
    embeddings = (batch()[0].detach() * 300).float().requires_grad_()
    loss = pairwise_softmax_loss(embeddings, torch.tensor(LABELS))
    loss.backward()
    assert loss.item() > 1e4 and math.isfinite(loss.item())
    assert embeddings.grad is not None and torch.isfinite(embeddings.grad).all() and embeddings.grad.abs().max() > 1


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], LABELS])
def test_uniformity_equals_the_loop(labels: list[int]) -> None:
    embeddings, targets = batch(labels)
    total = torch.zeros((), dtype=torch.float64)
    for p in range(3):
        centres = []
        for label in sorted(set(labels)):
            rows = [x / (x * x).sum().sqrt() for x, y in zip(embeddings[:, p], labels, strict=True) if y == label]
            centre = torch.stack(rows).mean(0)
            centres.append(centre / (centre * centre).sum().sqrt())
        pairs = [torch.exp(-2 * ((a - b) ** 2).sum()) for a in centres for b in centres if a is not b]
        total = total + torch.stack(pairs).mean().log() / 3
    loss = uniformity_loss(embeddings, targets)
    torch.testing.assert_close(value_and_gradient(loss, embeddings), value_and_gradient(total, embeddings))


def test_uniformity_is_lowest_for_opposite_people_and_zero_for_equal_ones() -> None:
    people = torch.tensor([[3.0, 0.0], [1.0, 0.0], [-2.0, 0.0], [-5.0, 0.0]])[:, None]
    assert uniformity_loss(people, torch.tensor([0, 0, 1, 1])).item() == pytest.approx(-8)
    assert uniformity_loss(people.abs(), torch.tensor([0, 0, 1, 1])).item() == pytest.approx(0, abs=1e-6)
