from __future__ import annotations

import pytest
import torch
from loss_batches import batch

from qgait.losses.distances import part_distances


def test_distances_and_gradients_are_those_of_differences() -> None:
    embeddings, _ = batch(parts=2)
    others, _ = batch([1, 2], parts=2, seed=1)
    x, y = embeddings.transpose(0, 1), others.transpose(0, 1)
    expected = (x[:, :, None] - y[:, None]).square().sum(-1).sqrt()
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    actual = part_distances(embeddings, others)
    torch.testing.assert_close(actual, expected)
    for one, other in zip(
        torch.autograd.grad((actual * weights).sum(), (embeddings, others)),
        torch.autograd.grad((expected * weights).sum(), (embeddings, others)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    within = part_distances(embeddings)
    torch.testing.assert_close(within, torch.cdist(x, x))
    assert torch.equal(within.diagonal(dim1=1, dim2=2), torch.zeros(2, len(embeddings), dtype=torch.float64))


def test_gradients_are_those_of_finite_differences() -> None:
    embeddings, _ = batch([0, 1, 2, 3], parts=2, channels=3)
    others, _ = batch([0, 1], parts=2, channels=3, seed=1)
    weights = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: (part_distances(x) * weights).sum(), embeddings)  # not symmetric
    assert torch.autograd.gradcheck(part_distances, (embeddings, others))


def test_a_large_offset_costs_few_digits() -> None:
    embeddings, _ = batch()
    near = part_distances(embeddings)
    torch.testing.assert_close(part_distances(embeddings.float() + 1000).double(), near, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_they_are_float32_with_and_without_autocast_forward_and_backward(dtype: torch.dtype) -> None:
    x = batch()[0].detach().to(dtype).requires_grad_()
    part_distances(x).sum().backward()
    plain = x.grad
    x.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        distances = part_distances(x)
        distances.sum().backward()
    assert distances.dtype == torch.float32
    assert torch.equal(distances, part_distances(x.float()))
    assert plain is not None and x.grad is not None and x.grad.dtype == dtype
    assert torch.equal(x.grad, plain)
