from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from qgait.data.opengait import Sequence
from qgait.evaluation import pair_errors as module
from qgait.evaluation.pair_errors import pair_errors
from qgait.evaluation.protocols import evaluate
from qgait.evaluation.separation import false_rejects_at


def walks(people: int, types: list[str], views: list[str]) -> list[Sequence]:
    names = itertools.product(range(people), types, views)
    return [Sequence(f"{who:03d}", kind, view, Path()) for who, kind, view in names]


def noisy(sequences: list[Sequence], noise: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    people = np.array([int(s.subject) for s in sequences], float)
    return (people + noise * rng.normal(size=len(people))).astype(np.float32).reshape(-1, 1, 1)


def by_loops(e: np.ndarray, sequences: list[Sequence], gallery: list[int], probes: list[int], views: bool) -> float:
    pairs = [(i, j) for i in probes for j in gallery if not views or sequences[i].view != sequences[j].view]
    distances = np.array([abs(float(e[i, 0, 0]) - float(e[j, 0, 0])) for i, j in pairs])
    same = np.array([sequences[i].subject == sequences[j].subject for i, j in pairs])
    rates = [
        (np.mean(distances[~same] < limit), np.mean(distances[same] >= limit))
        for limit in [0, *(np.unique(distances) + 1e-4)]
    ]
    accepts, rejects = min(rates, key=lambda rate: abs(rate[0] - rate[1]))
    return 50 * float(accepts + rejects)


@pytest.mark.parametrize("views", [False, True])
def test_the_equal_error_rate_equals_loops(views: bool) -> None:
    sequences = walks(6, ["nm-01", "nm-05"], ["000", "036", "090"])
    e = noisy(sequences, 0.8)
    gallery = [i for i, s in enumerate(sequences) if s.type == "nm-01"]
    probes = [i for i, s in enumerate(sequences) if s.type == "nm-05"]
    found = pair_errors(e, sequences, gallery, probes, "euclidean", views)
    assert found["same_pairs"] == 6 * (6 if views else 9) and found["different_pairs"] == 30 * (6 if views else 9)
    assert 5 < found["eer"] < 50
    assert found["eer"] == pytest.approx(by_loops(e, sequences, gallery, probes, views), abs=0.5)
    assert set(found["frr_at_far"]) == {"0.01"}, "180 pairs cannot tell 1 in 1,000"
    assert found["notes"] == []


def test_the_protocols_tell_it_of_their_own_pairs() -> None:
    sequences = walks(4, ["nm-01", "nm-05", "bg-01"], ["000", "090"])
    found = evaluate("casia-b", noisy(sequences, 0.0), sequences)
    assert (found["eer"], found["frr_at_far"]) == (0.0, {}), "96 pairs tell no rate of 1 %"
    assert (found["same_pairs"], found["different_pairs"]) == (4 * 2 * 2, 12 * 2 * 2)
    twins = noisy(sequences, 0.0)
    twins[[s.subject == "001" for s in sequences]] = 0.0
    assert evaluate("casia-b", twins, sequences)["eer"] > 0
    sequences = walks(4, ["01", "02"], ["000"])
    found = evaluate("grew", noisy(sequences, 0.0), sequences)
    assert (found["eer"], found["same_pairs"], found["different_pairs"]) == (0.0, 4, 12)


def test_what_cannot_be_told_is_said() -> None:
    sequences = walks(1, ["nm-01", "nm-05"], ["000", "090"])
    found = evaluate("casia-b", noisy(sequences, 0.1), sequences)
    assert found["eer"] is None
    assert "No equal error rate: no pair of probe and gallery is of two people." in found["notes"]


def test_of_too_many_pairs_every_nth_probe_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = walks(6, ["nm-01", "nm-05"], ["000"])
    e, gallery, probes = noisy(sequences, 0.3), list(range(0, 12, 2)), list(range(1, 12, 2))
    monkeypatch.setattr(module, "MOST_PAIRS", 20)
    found = pair_errors(e, sequences, gallery, probes, "euclidean")
    assert found["same_pairs"] + found["different_pairs"] == 18
    assert found["notes"] == ["The equal error rate is that of one in 2 probes."]


def test_false_rejects_by_hand() -> None:
    distances = np.array([1, 2, 3, 6, 4, 5, 7, 8], np.float32)
    same = np.arange(8) < 4
    assert false_rejects_at(distances, same, 0.0) == 0.25  # nobody else below 4, and 6 is not
    assert false_rejects_at(distances, same, 0.5) == 0.0  # 4 and 5 accepted, all below 7
