"""Sums over triples do not depend on how they are cut, and never hold all triples."""

from __future__ import annotations

import pytest
import torch
from loss_batches import LABELS, triples, value_and_gradient
from torch import Tensor

from qgait.losses.batch_all import count_triples, triple_sums


def square(differences: Tensor) -> tuple[Tensor, Tensor]:
    return differences.square().sum((1, 2, 3)), 2 * differences


def values(parts: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    n = len(LABELS)
    return torch.randn(parts, n, n, generator=generator, dtype=torch.float64).requires_grad_(), torch.tensor(LABELS)


@pytest.mark.parametrize("block", [1, 60, 10**6])
def test_sums_and_gradients_are_those_of_the_loop_whatever_the_block(block: int) -> None:
    given, labels = values()
    weights = torch.tensor([1.0, -2.0, 3.0])
    total, slope = triple_sums(given, labels, square, block)
    differences = torch.stack([given[:, a, i] - given[:, a, j] for a, i, j in triples(labels)])
    torch.testing.assert_close(total, differences.square().sum(0))
    torch.testing.assert_close(slope, 2 * differences.detach().sum(0))
    assert total.requires_grad and not slope.requires_grad
    expected = (differences.square().sum(0) * weights).sum()
    torch.testing.assert_close(value_and_gradient((total * weights).sum(), given), value_and_gradient(expected, given))


def test_a_slope_that_is_not_the_terms_is_seen_by_that_comparison() -> None:
    given, labels = values()

    def wrong(differences: Tensor) -> tuple[Tensor, Tensor]:
        return differences.square().sum((1, 2, 3)), differences

    assert torch.autograd.gradcheck(lambda x: triple_sums(x, labels, square)[0], given)
    assert not torch.autograd.gradcheck(lambda x: triple_sums(x, labels, wrong)[0], given, raise_exception=False)


def test_blocks_are_no_larger_than_asked_for_or_one_anchors() -> None:
    given, labels = values()
    seen: list[int] = []

    def watched(differences: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(differences.numel())
        return square(differences)

    for block, largest in ((1, 36), (80, 72), (10**6, 108)):  # 3 parts: one anchor of 3 has 3 x 4 pairs, one of 1 has 6
        seen.clear()
        triple_sums(given, labels, watched, block)
        assert max(seen) == largest
        assert sum(seen) == 3 * len(triples(labels))


@pytest.mark.parametrize("labels", [LABELS, [1, 1, 1], [3, 2, 1], [5]])
def test_the_number_of_triples(labels: list[int]) -> None:
    assert count_triples(torch.tensor(labels)) == len(triples(torch.tensor(labels)))


def test_one_label_has_no_triples() -> None:
    given, _ = values()
    total, slope = triple_sums(given, torch.ones(len(LABELS)), square)
    assert torch.equal(total, torch.zeros(3, dtype=torch.float64))
    assert torch.equal(slope, torch.zeros(3, dtype=torch.float64))
    assert torch.equal(value_and_gradient(total.sum(), given)[1], torch.zeros_like(given))
