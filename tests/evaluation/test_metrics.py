from __future__ import annotations

import numpy as np
import pytest

from qgait.evaluation.metrics import NO_MATE, precision_and_penalty, rank_accuracy, wrong_before_match


def ranking_by_loops(distance: np.ndarray, match: np.ndarray) -> list[bool]:
    """The gallery of one probe from near to far, wrong people first among equals."""
    return [bool(m) for _, m in sorted(zip(distance.tolist(), match.tolist(), strict=True))]


def random_case(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    distance = rng.random((20, 15)).astype(np.float32)
    if ties:
        distance = np.round(distance * 4) / 4
    match = rng.random((20, 15)) < 0.15
    match[3] = False
    return distance, match


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_everything_equals_loops(seed: int, ties: bool) -> None:
    distance, match = random_case(seed, ties)
    wrong = wrong_before_match(distance, match)
    precision, penalty = precision_and_penalty(distance, match)
    rankings = [ranking_by_loops(d, m) for d, m in zip(distance, match, strict=True)]
    for i, ranking in enumerate(rankings):
        right = [k for k, hit in enumerate(ranking) if hit]
        if not right:
            assert wrong[i] == NO_MATE and np.isnan(precision[i]) and np.isnan(penalty[i])
            continue
        assert wrong[i] == right[0]
        np.testing.assert_allclose(precision[i], np.mean([sum(ranking[: k + 1]) / (k + 1) for k in right]))
        np.testing.assert_allclose(penalty[i], len(right) / (right[-1] + 1))
    for k in (1, 5, 10):
        assert rank_accuracy(distance, match, k) == np.mean([any(r[:k]) for r in rankings])


def test_by_hand() -> None:
    distance = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]], np.float32)
    match = np.array([[False, True, False, True], [False, True, False, True]])
    np.testing.assert_array_equal(wrong_before_match(distance, match), [1, 0])
    precision, penalty = precision_and_penalty(distance, match)
    np.testing.assert_allclose(precision, [(1 / 2 + 2 / 4) / 2, (1 + 2 / 3) / 2])
    np.testing.assert_allclose(penalty, [2 / 4, 2 / 3])
    assert rank_accuracy(distance, match, 1) == 0.5 and rank_accuracy(distance, match, 2) == 1


def test_the_order_of_the_gallery_does_not_matter_even_with_ties() -> None:
    for seed in range(5):
        distance, match = random_case(seed, True)
        order = np.random.default_rng(seed).permutation(15)
        np.testing.assert_array_equal(
            wrong_before_match(distance, match), wrong_before_match(distance[:, order], match[:, order])
        )
        for one, other in zip(
            precision_and_penalty(distance, match),
            precision_and_penalty(distance[:, order], match[:, order]),
            strict=True,
        ):
            np.testing.assert_allclose(one, other)


def test_embeddings_that_tell_nobody_apart_score_zero() -> None:
    match = np.eye(6, dtype=bool)
    assert rank_accuracy(np.zeros((6, 6), np.float32), match, 1) == 0
    assert rank_accuracy(np.zeros((6, 6), np.float32), match, 6) == 1


def test_perfect_and_missing() -> None:
    match = np.eye(6, dtype=bool)
    distance = 1 - match.astype(np.float32)
    assert rank_accuracy(distance, match, 1) == 1
    np.testing.assert_array_equal(precision_and_penalty(distance, match), np.ones((2, 6)))
    match[0] = False
    assert rank_accuracy(distance, match, 6) == 5 / 6
    assert rank_accuracy(distance[:, :0], match[:, :0], 1) == 0
    assert np.isnan(rank_accuracy(distance[:0], match[:0], 1))
