from __future__ import annotations

import numpy as np
import pytest

from qgait.errors import QgaitError
from qgait.evaluation.separation import equal_error, separation


def errors(distances: np.ndarray, same: np.ndarray, threshold: float) -> tuple[float, float]:
    return float(np.mean(distances[~same] < threshold)), float(np.mean(distances[same] >= threshold))


def test_separable_people_have_no_errors() -> None:
    found = equal_error(np.array([0.1, 0.2, 0.8, 0.9], np.float32), np.array([True, True, False, False]))
    assert found.equal_error_rate == found.false_accepts == found.false_rejects == 0
    np.testing.assert_allclose(found.threshold, 0.5)
    assert (found.same_pairs, found.different_pairs) == (2, 2)


def test_by_hand() -> None:
    # same: 1 2 3 6, different: 4 5 7 8 ... at 4.5 one of four is wrong on both sides
    found = equal_error(np.array([1, 2, 3, 6, 4, 5, 7, 8], np.float32), np.arange(8) < 4)
    assert found.threshold == 4.5
    assert found.false_accepts == found.false_rejects == found.equal_error_rate == 0.25


@pytest.mark.parametrize("seed", range(8))
def test_no_other_threshold_is_nearer_to_equality(seed: int) -> None:
    rng = np.random.default_rng(seed)
    same = rng.random(300) < 0.2
    distances = (rng.normal(1, 0.3, 300) - 0.4 * same).astype(np.float32)
    if seed % 2:
        distances = np.round(distances * 8) / 8
    found = equal_error(distances, same)
    accepts, rejects = errors(distances, same, found.threshold)
    np.testing.assert_allclose((accepts, rejects), (found.false_accepts, found.false_rejects))
    np.testing.assert_allclose(found.equal_error_rate, (accepts + rejects) / 2)
    for threshold in np.linspace(-0.5, 2.5, 700):
        a, r = errors(distances, same, float(threshold))
        assert abs(a - r) >= abs(accepts - rejects) - 1e-12


def test_chance_is_half() -> None:
    rng = np.random.default_rng(0)
    found = equal_error(rng.random(20_000).astype(np.float32), rng.random(20_000) < 0.5)
    assert abs(found.equal_error_rate - 0.5) < 0.02
    flat = equal_error(np.ones(10, np.float32), np.arange(10) < 5)
    assert flat.equal_error_rate == 0.5


def test_pairs_of_embeddings() -> None:
    embeddings = np.array([0.0, 0.1, 5.0, 5.2, 9.0], np.float32).reshape(5, 1, 1)
    found = separation(embeddings, ["a", "a", "b", "b", "c"])
    assert (found.same_pairs, found.different_pairs, found.equal_error_rate) == (2, 8, 0)
    np.testing.assert_allclose(found.threshold, (0.2 + 3.8) / 2, atol=1e-5)


def test_refusals() -> None:
    embeddings = np.zeros((3, 1, 1), np.float32)
    with pytest.raises(QgaitError, match="0 pairs of one person"):
        separation(embeddings, ["a", "b", "c"])
    with pytest.raises(QgaitError, match="0 pairs of different"):
        separation(embeddings, ["a", "a", "a"])
    with pytest.raises(QgaitError, match="3 embeddings for 2"):
        separation(embeddings, ["a", "b"])
