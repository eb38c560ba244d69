from __future__ import annotations

import numpy as np
import pytest

from qgait.errors import QgaitError
from qgait.evaluation import distances
from qgait.evaluation.distances import part_distances

RNG = np.random.default_rng(2)
A = RNG.normal(size=(13, 4, 6)).astype(np.float32)
B = RNG.normal(size=(9, 4, 6)).astype(np.float32)


def by_loops(a: np.ndarray, b: np.ndarray, distance: str) -> np.ndarray:
    result = np.zeros((len(a), len(b)))
    for i, left in enumerate(a.astype(np.float64)):
        for j, right in enumerate(b.astype(np.float64)):
            for x, y in zip(left, right, strict=True):
                if distance == "euclidean":
                    result[i, j] += np.sqrt(np.sum((x - y) ** 2)) / len(left)
                else:
                    result[i, j] += (1 - x @ y / (np.linalg.norm(x) * np.linalg.norm(y))) / len(left)
    return result


@pytest.mark.parametrize("distance", distances.DISTANCES)
def test_equals_loops(distance: str) -> None:
    found = part_distances(A, B, distance)
    assert found.dtype == np.float32 and found.shape == (13, 9)
    np.testing.assert_allclose(found, by_loops(A, B, distance), atol=2e-6)


@pytest.mark.parametrize("distance", distances.DISTANCES)
def test_chunks_do_not_matter(distance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = part_distances(A, B, distance)
    monkeypatch.setattr(distances, "_CELLS_AT_ONCE", 20)
    np.testing.assert_allclose(part_distances(A, B, distance), whole, atol=2e-6)


def test_by_hand() -> None:
    a = np.array([[[3.0, 4.0], [0.0, 0.0]]], np.float32)
    b = np.array([[[0.0, 0.0], [0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]]], np.float32)
    np.testing.assert_allclose(part_distances(a, b), [[2.5, 0.5]], atol=1e-6)
    # a vector of zeros has cosine 0 with everything
    np.testing.assert_allclose(part_distances(a, b, "cosine"), [[1.0, 0.5]], atol=1e-6)


def test_the_order_of_parts_and_channels_and_a_shift_do_not_matter() -> None:
    parts, channels = RNG.permutation(4), RNG.permutation(6)
    expected = part_distances(A, B)
    np.testing.assert_allclose(
        part_distances(A[:, parts][:, :, channels], B[:, parts][:, :, channels]), expected, atol=2e-6
    )
    shift = RNG.normal(size=(4, 6)).astype(np.float32)
    np.testing.assert_allclose(part_distances(A + shift, B + shift), expected, atol=4e-6)
    np.testing.assert_allclose(part_distances(3 * A, 3 * B), 3 * expected, atol=6e-6)
    lengths = RNG.uniform(1, 9, (13, 4, 1)).astype(np.float32)
    np.testing.assert_allclose(part_distances(A * lengths, B, "cosine"), part_distances(A, B, "cosine"), atol=2e-6)


def test_far_from_the_origin_neighbours_are_still_told_apart() -> None:
    base = np.full((1, 2, 8), 1000, np.float32)
    near, far = base + np.float32(0.01), base + np.float32(0.02)
    found = part_distances(np.concatenate([base]), np.concatenate([near, far]))
    np.testing.assert_allclose(found, [[0.01 * np.sqrt(8), 0.02 * np.sqrt(8)]], rtol=0.02)


def test_thousands_of_sequences() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(n, 3, 8)).astype(np.float32) for n in (5000, 4000))
    found = part_distances(a, b)
    for i, j in zip(rng.integers(0, 5000, 200), rng.integers(0, 4000, 200), strict=True):
        np.testing.assert_allclose(found[i, j], np.linalg.norm(a[i] - b[j], axis=1).mean(), rtol=1e-5)


def test_integer_codes_are_compared_as_numbers() -> None:
    codes = RNG.integers(-128, 128, (5, 4, 6)).astype(np.int8)
    np.testing.assert_array_equal(part_distances(codes, codes), part_distances(codes.astype("f4"), codes.astype("f4")))


def test_no_gallery_gives_no_columns() -> None:
    for distance in distances.DISTANCES:
        assert part_distances(A, B[:0], distance).shape == (13, 0)
        assert part_distances(A[:0], B, distance).shape == (0, 9)


def test_refusals() -> None:
    with pytest.raises(QgaitError, match="manhattan"):
        part_distances(A, B, "manhattan")
    for wrong in (B[:, :3], B[:, :, :5], B[0], np.zeros((3, 0, 6), np.float32)):
        with pytest.raises(QgaitError, match="cannot be compared"):
            part_distances(A, wrong)
