"""Rank-k, average precision and inverse negative penalty of probes against a gallery.

All functions take distances [N probes, M gallery] and ``match``, boolean [N, M], which says where both are the same
person. Ties count against the probe: at equal distance the wrong people come first. So the order of the gallery never
matters, and embeddings that do not tell anybody apart score zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NO_MATE = np.iinfo(np.int64).max


def wrong_before_match(distance: NDArray[np.float32], match: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many wrong gallery entries come before the first right one, int64 [N], or ``NO_MATE``."""
    best = np.where(match, distance, np.inf).min(axis=1, initial=np.inf)
    wrong = ((distance <= best[:, None]) & ~match).sum(axis=1, dtype=np.int64)
    return np.where(match.any(axis=1), wrong, NO_MATE)


def rank_accuracy(distance: NDArray[np.float32], match: NDArray[np.bool_], k: int) -> float:
    """Share of the probes, 0 .. 1, with a right entry among the ``k`` nearest; NaN without probes.

    A probe without a mate in the gallery is an error.
    """
    return float(np.mean(wrong_before_match(distance, match) < k)) if len(distance) else float("nan")


def precision_and_penalty(
    distance: NDArray[np.float32], match: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average precision and inverse negative penalty of every probe, float64 [N]; NaN where no entry is right.

    AP is the mean, over the right entries, of the precision at their rank. INP is the number of right entries divided
    by the rank of the last of them (Ye et al., Deep Learning for Person Re-identification, 2021). Their means are
    mAP and mINP.
    """
    order = np.lexsort((match, distance), axis=-1)
    hits = np.take_along_axis(match, order, axis=1)
    ranks = np.arange(1, hits.shape[1] + 1)
    total = hits.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = (hits.cumsum(axis=1) / ranks * hits).sum(axis=1) / total
        last = (hits * ranks).max(axis=1, initial=0)
        penalty = total / last
    return precision, penalty
