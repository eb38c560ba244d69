from __future__ import annotations

import math

import pytest
import torch
from loss_batches import LABELS, batch, distance, value_and_gradient
from torch import Tensor

from qgait.losses.center_ranked import MODES, Mode, center_ranked_loss


def slow(
    embeddings: Tensor,
    labels: list[int],
    mode: Mode,
    margin: float,
    temperature: float,
    alpha: float,
    normalize: bool,
    detach_center: bool,
) -> Tensor:
    terms = []
    for p in range(embeddings.shape[1]):
        x = [row / (row * row).sum().sqrt() if normalize else row for row in embeddings[:, p]]
        for label in sorted(set(labels)):
            own = [e for e, y in zip(x, labels, strict=True) if y == label]
            centre = sum(own, torch.zeros(())) / len(own)
            centre = centre.detach() if detach_center else centre
            near = [distance(centre, e) for e in own]
            far = [distance(centre, e) for e, y in zip(x, labels, strict=True) if y != label]
            terms.append(slow_term(near, far, mode, margin, temperature, alpha))
    return torch.stack(terms).mean()


def slow_term(
    near: list[Tensor], far: list[Tensor], mode: Mode, margin: float, temperature: float, alpha: float
) -> Tensor:
    zero = torch.zeros((), dtype=torch.float64)
    if mode == "softrank":
        return (1 + sum(((i - j + margin) / temperature).exp() for i in near for j in far)).log()  # type: ignore[union-attr]
    if mode == "mean":
        softmin = -temperature * torch.stack([(-j / temperature).exp() for j in far]).mean().log()
        return torch.maximum(torch.stack(near).mean() - softmin + margin, zero)
    if mode == "hard":
        return torch.maximum(max(near) - min(far) + margin, zero)
    pull = torch.stack([torch.maximum(i - (alpha - margin), zero) for i in near]).mean()
    violating = [j for j in far if j < alpha]
    weights = [math.exp((alpha - j.item()) / temperature) for j in violating]
    return pull + sum((w / sum(weights) * (alpha - j) for w, j in zip(weights, violating, strict=True)), zero)


@pytest.mark.parametrize("labels", [[1, 1, 0, 0, 0, 1], LABELS])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize(
    ("margin", "temperature", "alpha", "normalize"), [(0.2, 0.1, 1.2, False), (0.4, 0.3, 0.9, True)]
)
def test_value_and_gradient_are_those_of_the_loop(
    labels: list[int], mode: Mode, detach: bool, margin: float, temperature: float, alpha: float, normalize: bool
) -> None:
    embeddings, targets = batch(labels)
    settings = (mode, margin, temperature, alpha, normalize, detach)
    loss = center_ranked_loss(embeddings, targets, *settings)
    expected = slow(embeddings, labels, *settings)
    assert expected > 0.02
    torch.testing.assert_close(
        value_and_gradient(loss, embeddings), value_and_gradient(expected, embeddings), rtol=1e-6, atol=1e-7
    )


def test_the_defaults_are_the_soft_ranking() -> None:
    embeddings, labels = batch()
    expected = slow(embeddings, LABELS, "softrank", 0.2, 0.1, 1.2, False, False)
    assert center_ranked_loss(embeddings, labels).item() == pytest.approx(expected.item())


def test_modes_and_switches_give_different_gradients() -> None:
    embeddings, labels = batch()
    gradients = set()
    for mode in MODES:
        for normalize in (False, True):
            for detach in (False, True):
                loss = center_ranked_loss(embeddings, labels, mode, 0.4, normalize=normalize, detach_center=detach)
                gradients.add(round(value_and_gradient(loss, embeddings)[1].norm().item(), 9))
    assert len(gradients) == 16


@pytest.mark.parametrize("mode", ["softrank", "mean", "hard"])
def test_gradients_are_those_of_finite_differences(mode: Mode) -> None:
    embeddings, labels = batch([0, 0, 0, 1, 1, 1], parts=2, channels=3)
    assert torch.autograd.gradcheck(lambda x: center_ranked_loss(x, labels, mode), embeddings)


def test_with_detached_centres_they_are_not() -> None:
    embeddings, labels = batch([0, 0, 0, 1, 1, 1], parts=2, channels=3)
    assert not torch.autograd.gradcheck(
        lambda x: center_ranked_loss(x, labels, detach_center=True), embeddings, raise_exception=False
    )


def test_every_sample_of_the_batch_has_a_gradient_in_the_soft_ranking_and_not_in_the_hard_one() -> None:
    embeddings, labels = batch([0, 0, 0, 1, 1, 1, 2, 2, 2], parts=1)
    for mode, everyone in (("softrank", True), ("hard", False)):
        loss = center_ranked_loss(embeddings, labels, mode, detach_center=True)  # type: ignore[arg-type]
        gradient = value_and_gradient(loss, embeddings)[1]
        assert bool((gradient.abs().amax((1, 2)) > 0).all()) == everyone


@pytest.mark.parametrize("mode", MODES)
def test_people_who_are_far_apart_cost_nothing(mode: Mode) -> None:
    far = torch.tensor([0.0, 0.0, 9.0, 9.0])[:, None, None].expand(4, 2, 3).clone().requires_grad_()
    loss = center_ranked_loss(far, torch.tensor([0, 0, 1, 1]), mode)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert far.grad is not None and far.grad.abs().max() < 1e-6


@pytest.mark.parametrize("mode", MODES)
def test_equal_embeddings_have_a_finite_gradient(mode: Mode) -> None:
    equal = torch.ones(4, 2, 3, requires_grad=True)
    center_ranked_loss(equal, torch.tensor([0, 0, 1, 1]), mode).backward()
    assert equal.grad is not None and torch.isfinite(equal.grad).all()


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="'sorted'"):
        center_ranked_loss(*batch(), mode="sorted")  # type: ignore[arg-type]
