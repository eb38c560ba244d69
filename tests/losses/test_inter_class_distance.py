"""Inter-class distance guidance against slow loops, and what it must not depend on."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from qgait.losses.inter_class_distance import distance_correlation, inter_class_distance_loss

LABELS = [0, 0, 1, 1, 2, 2, 2]


def batch(parts: int = 3, channels: int = 5, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """(student, teacher, labels): a teacher and a disturbed student of another scale."""
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(len(LABELS), parts, channels, generator=generator)
    noise = torch.randn(len(LABELS), parts, channels, generator=generator)
    return 1.7 * (teacher + 0.4 * noise), teacher, torch.tensor(LABELS)


def slow(
    student: Tensor, teacher: Tensor, labels: Tensor, relative: bool, pairs: str, per_part: bool, penalty: str
) -> float:
    chosen = [
        (i, j)
        for i, j in itertools.permutations(range(len(labels)), 2)
        if pairs == "all" or bool(labels[i] == labels[j]) == (pairs == "same")
    ]
    groups = range(student.shape[1]) if per_part else [slice(None)]
    total = 0.0
    for part in groups:
        rows = []
        for x in (student, teacher):
            d = [math.dist(x[i, part].reshape(-1).tolist(), x[j, part].reshape(-1).tolist()) for i, j in chosen]
            rows.append([v / (sum(d) / len(d)) for v in d] if relative else d)
        for a, b in zip(*rows, strict=True):
            e = abs(a - b)
            total += (e * e if penalty == "square" else e * e / 2 if e <= 1 else e - 0.5) / len(chosen)
    return total / len(groups)


SWITCHES = list(itertools.product((True, False), ("different", "all", "same"), (True, False), ("huber", "square")))


@pytest.mark.parametrize(("relative", "pairs", "per_part", "penalty"), SWITCHES)
def test_it_equals_the_loop(relative: bool, pairs: str, per_part: bool, penalty: str) -> None:
    student, teacher, labels = batch()
    student = student * 2  # so that absolute differences reach the straight part of Huber's curve
    loss = inter_class_distance_loss(
        student, teacher, labels, relative=relative, pairs=pairs, per_part=per_part, penalty=penalty
    )
    expected = slow(student, teacher, labels, relative, pairs, per_part, penalty)
    assert expected > 1e-3
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_switches_give_twenty_four_different_numbers() -> None:
    student, teacher, labels = batch()
    values = {
        round(
            inter_class_distance_loss(
                student * 2, teacher, labels, relative=r, pairs=p, per_part=part, penalty=penalty
            ).item(),
            7,
        )
        for r, p, part, penalty in SWITCHES
    }
    assert len(values) == len(SWITCHES)


def test_the_gradient_is_that_of_finite_differences_and_the_teacher_gets_none() -> None:
    student, teacher, labels = batch(2, 3)
    student.requires_grad_()
    teacher.requires_grad_()
    inter_class_distance_loss(student, teacher, labels).backward()
    assert teacher.grad is None and student.grad is not None
    for place in [(0, 0, 0), (3, 1, 2), (6, 0, 1)]:
        values = []
        for sign in (1, -1):
            moved = student.detach().clone()
            moved[place] += sign * 1e-2
            values.append(slow(moved, teacher.detach(), labels, True, "different", True, "huber"))
        assert student.grad[place].item() == pytest.approx((values[0] - values[1]) / 2e-2, rel=0.02, abs=1e-6)


def test_order_offset_and_scale_change_nothing() -> None:
    student, teacher, labels = batch()
    loss = inter_class_distance_loss(student, teacher, labels).item()
    order = torch.randperm(len(LABELS), generator=torch.Generator().manual_seed(1))
    assert inter_class_distance_loss(student[order], teacher[order], labels[order]).item() == pytest.approx(loss)
    assert inter_class_distance_loss(student + 300, teacher - 40, labels).item() == pytest.approx(loss, rel=1e-3)
    assert inter_class_distance_loss(student * 50, teacher / 9, labels).item() == pytest.approx(loss)
    absolute = inter_class_distance_loss(student, teacher, labels, relative=False).item()
    assert inter_class_distance_loss(student * 50, teacher, labels, relative=False).item() > 10 * absolute
    parts = [2, 0, 1]
    assert inter_class_distance_loss(student[:, parts], teacher[:, parts], labels).item() == pytest.approx(loss)


def test_rotating_one_network_changes_nothing_and_a_scaled_teacher_is_matched_exactly() -> None:
    student, teacher, labels = batch()
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(3)))
    loss = inter_class_distance_loss(student, teacher, labels).item()
    assert inter_class_distance_loss(student @ rotation, teacher, labels).item() == pytest.approx(loss, rel=1e-4)
    assert inter_class_distance_loss(teacher @ rotation * 3, teacher, labels).item() < 1e-10


def test_samples_of_one_person_do_not_count() -> None:
    """Moving apart what has one label changes the loss only through the pairs of different labels: here not at all."""
    labels = torch.tensor([0, 0, 1])
    teacher = torch.tensor([[[0.0, 1.0]], [[0.0, -1.0]], [[2.0, 0.0]]])
    student = torch.tensor([[[0.0, 2.0]], [[0.0, -2.0]], [[1.0, 0.0]]])  # both are as far from the third as the other
    assert inter_class_distance_loss(student, teacher, labels).item() < 1e-12
    assert inter_class_distance_loss(student, teacher, labels, pairs="all").item() > 1e-2


def test_without_such_pairs_the_loss_is_zero_and_so_is_its_gradient() -> None:
    student, teacher, _ = batch()
    student.requires_grad_()
    loss = inter_class_distance_loss(student, teacher, torch.zeros(len(LABELS), dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(student.grad, torch.zeros_like(student))  # type: ignore[arg-type]


def test_equal_embeddings_have_a_finite_gradient() -> None:
    student = torch.ones(4, 2, 3, requires_grad=True)
    teacher = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0))
    inter_class_distance_loss(student, teacher, torch.tensor([0, 0, 1, 1])).backward()
    assert student.grad is not None and torch.isfinite(student.grad).all()


def test_correlations_equal_slow_ones() -> None:
    student, teacher, labels = batch()
    pearson, spearman = distance_correlation(student, teacher, labels)
    chosen = [(i, j) for i, j in itertools.combinations(range(len(LABELS)), 2) if LABELS[i] != LABELS[j]]
    expected = [0.0, 0.0]
    for part in range(3):
        rows = [[math.dist(x[i, part].tolist(), x[j, part].tolist()) for i, j in chosen] for x in (student, teacher)]
        ranks = [[float(sorted(row).index(v)) for v in row] for row in rows]
        expected[0] += correlation(*rows) / 3
        expected[1] += correlation(*ranks) / 3
    assert 0.3 < expected[0] < 0.99
    assert pearson == pytest.approx(expected[0], rel=1e-4)
    assert spearman == pytest.approx(expected[1], rel=1e-6)


def correlation(a: list[float], b: list[float]) -> float:
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    top = sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True))
    return top / math.sqrt(sum((x - ma) ** 2 for x in a) * sum((y - mb) ** 2 for y in b))


def test_correlation_of_a_monotone_but_bent_student_is_one_in_ranks_only() -> None:
    """On a line, where a distance from the first sample is a coordinate."""
    labels = torch.tensor([0, 1, 1, 1, 1])
    line = torch.tensor([0.0, 1, 2, 3, 4])[:, None, None]
    pearson, spearman = distance_correlation(line.pow(4), line, labels)
    assert spearman == pytest.approx(1)
    assert pearson < 0.95


def test_ties_share_their_mean_rank() -> None:
    from qgait.losses.inter_class_distance import _ranks

    assert _ranks(torch.tensor([3.0, 1, 3, 0, 3])).tolist() == [3.0, 1.0, 3.0, 0.0, 3.0]


def test_a_part_that_is_dead_in_one_network_has_no_correlation_and_does_not_count() -> None:
    student, teacher, labels = batch()
    expected = distance_correlation(student[:, 1:], teacher[:, 1:], labels)
    student[:, 0] = 3
    assert distance_correlation(student, teacher, labels) == pytest.approx(expected)
    assert all(math.isnan(x) for x in distance_correlation(student[:, :1], teacher[:, :1], labels))
