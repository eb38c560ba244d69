from __future__ import annotations

import math

import pytest
import torch

from qgait.losses.cross_entropy import cross_entropy_loss


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


def test_it_is_float32_under_autocast() -> None:
    logits = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([5, 0, 2, 2])
    with torch.autocast("cpu", torch.bfloat16):
        loss = cross_entropy_loss(logits, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == cross_entropy_loss(logits, labels).item()
