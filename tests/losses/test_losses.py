from __future__ import annotations

import math

import pytest
import torch

from qgait.losses.cross_entropy import cross_entropy_loss
from qgait.losses.distances import part_distances
from qgait.losses.triplet import triplet_loss


def batch(labels: list[int], parts: int = 3, channels: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(labels), parts, channels, generator=generator) * 0.3, torch.tensor(labels)


def slow_triplet(embeddings: torch.Tensor, labels: torch.Tensor, margin: float) -> tuple[float, float]:
    n, parts, _ = embeddings.shape
    losses, counts, possible = [], [], 0
    for p in range(parts):
        total, active, possible = 0.0, 0, 0
        for a in range(n):
            for i in range(n):
                for j in range(n):
                    if labels[a] == labels[i] and labels[a] != labels[j]:
                        near = math.dist(embeddings[a, p].tolist(), embeddings[i, p].tolist())
                        far = math.dist(embeddings[a, p].tolist(), embeddings[j, p].tolist())
                        possible += 1
                        term = max(near - far + margin, 0.0)
                        total, active = total + term, active + (term > 0)
        losses.append(total / (active + 1e-9))
        counts.append(active)
    return sum(losses) / parts, sum(counts) / parts / possible


# the second batch is no P x K: subjects with fewer sequences than K are allowed
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [4, 4, 4, 9, 9, 1]])
@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_triplet_equals_the_loop(labels: list[int], margin: float) -> None:
    embeddings, targets = batch(labels)
    loss, active = triplet_loss(embeddings, targets, margin)
    expected, count = slow_triplet(embeddings, targets, margin)
    assert expected > 0.01
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert active.item() == pytest.approx(count)


def test_triplet_is_zero_when_people_are_far_apart() -> None:
    embeddings = torch.zeros(4, 2, 3, requires_grad=True)
    far = embeddings + torch.tensor([0.0, 0.0, 5.0, 5.0])[:, None, None]
    loss, active = triplet_loss(far, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == 0
    assert active.item() == 0
    assert torch.equal(embeddings.grad, torch.zeros_like(embeddings))  # type: ignore[arg-type]


def test_triplet_of_one_person_is_zero() -> None:
    embeddings, labels = batch([3, 3, 3])
    loss, active = triplet_loss(embeddings, labels)
    assert loss.item() == 0
    assert active.item() == 0


def test_triplet_gradient_is_the_slope_of_the_loss_and_finite_for_equal_embeddings() -> None:
    embeddings, labels = batch([0, 0, 1, 1])
    embeddings[1] = embeddings[0]  # a pair at distance 0, where the square root has no slope
    embeddings.requires_grad_()
    loss, _ = triplet_loss(embeddings, labels, margin=2.0)
    loss.backward()
    gradient = embeddings.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    step = torch.zeros_like(embeddings)
    step[2, 1, 3] = 0.03
    with torch.no_grad():
        slope = (
            triplet_loss(embeddings + step, labels, 2.0)[0] - triplet_loss(embeddings - step, labels, 2.0)[0]
        ) / 0.06
    assert gradient[2, 1, 3].item() == pytest.approx(slope.item(), rel=0.05)


def test_distances_are_float32_under_autocast() -> None:
    embeddings, labels = batch([0, 0, 1, 1])
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = triplet_loss(embeddings, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == triplet_loss(embeddings, labels)[0].item()
    pairs = torch.cdist(embeddings.transpose(0, 1), embeddings.transpose(0, 1))
    torch.testing.assert_close(part_distances(embeddings), pairs, atol=1e-3, rtol=1e-3)


def slow_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, scale: float, smoothing: float) -> float:
    n, classes, parts = logits.shape
    total = 0.0
    for i in range(n):
        for p in range(parts):
            row = [scale * value for value in logits[i, :, p].tolist()]
            log_sum = math.log(sum(math.exp(value) for value in row))
            for c in range(classes):
                target = (1 - smoothing) * (c == int(labels[i])) + smoothing / classes
                total += target * (log_sum - row[c])
    return total / n / parts


@pytest.mark.parametrize(("scale", "smoothing"), [(16.0, 0.1), (1.0, 0.0)])
def test_cross_entropy_equals_the_loop(scale: float, smoothing: float) -> None:
    logits = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(1)) * 0.2
    labels = torch.tensor([5, 0, 2, 2])
    loss = cross_entropy_loss(logits, labels, scale, smoothing)
    assert loss.item() == pytest.approx(slow_cross_entropy(logits, labels, scale, smoothing), rel=1e-5)


def test_cross_entropy_defaults_are_opengaits() -> None:
    logits = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(1)) * 0.2
    labels = torch.tensor([5, 0, 2, 2])
    expected = slow_cross_entropy(logits, labels, 16.0, 0.1)
    assert cross_entropy_loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)
