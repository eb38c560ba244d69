"""Telling two people apart with one threshold: the errors of a yes or no answer to "is this the same person?"."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.evaluation.distances import part_distances


@dataclass(frozen=True)
class Separation:
    """The threshold at which both kinds of error are equally frequent, as nearly as the data allow.

    Two walks are taken for the same person if their distance is below ``threshold``. ``false_accepts`` is the share
    (0 .. 1) of the ``different_pairs`` below it, ``false_rejects`` the share of the ``same_pairs`` that are not, and
    ``equal_error_rate`` the mean of the two.
    """

    threshold: float
    equal_error_rate: float
    false_accepts: float
    false_rejects: float
    same_pairs: int
    different_pairs: int


def separation(embeddings: NDArray[np.float32], subjects: Items[str], distance: str = "euclidean") -> Separation:
    """:class:`Separation` over all pairs of ``embeddings`` [N, P, C]; ``subjects`` are their N people.

    Takes about 20 bytes a pair; for more than 10,000 sequences give a random selection.
    """
    if len(subjects) != len(embeddings):
        raise QgaitError(
            f"There are {len(embeddings)} embeddings for {len(subjects)} sequences.", "give one embedding for each"
        )
    first, second = np.triu_indices(len(embeddings), 1)
    names = np.array(subjects)
    return equal_error(part_distances(embeddings, embeddings, distance)[first, second], names[first] == names[second])


def equal_error(distances: NDArray[np.float32], same: NDArray[np.bool_]) -> Separation:
    """:class:`Separation` of pairs with the given ``distances`` [K], of which ``same`` [K] are of one person.

    The threshold lies halfway between two neighbouring distances that occur.
    """
    mates, others = np.sort(distances[same].astype(np.float64)), np.sort(distances[~same].astype(np.float64))
    if not len(mates) or not len(others):
        raise QgaitError(
            f"There are {len(mates)} pairs of one person and {len(others)} pairs of different people.",
            "give at least two people, one of them with two walks",
        )
    occurring = np.unique(np.concatenate([mates, others]))
    # below the smallest distance, between neighbours, above the largest
    between = np.concatenate([occurring[:1], (occurring[:-1] + occurring[1:]) / 2, occurring[-1:] + 1])
    rejects = 1 - np.searchsorted(mates, between) / len(mates)
    accepts = np.searchsorted(others, between) / len(others)
    best = int(np.argmin(np.abs(accepts - rejects)))
    return Separation(
        threshold=float(between[best]),
        equal_error_rate=float((accepts[best] + rejects[best]) / 2),
        false_accepts=float(accepts[best]),
        false_rejects=float(rejects[best]),
        same_pairs=len(mates),
        different_pairs=len(others),
    )


def false_rejects_at(distances: NDArray[np.float32], same: NDArray[np.bool_], false_accepts: float) -> float:
    """The share (0 .. 1) of pairs of one person at or above the largest threshold that ``false_accepts`` allows.

    ``distances`` [K], of which ``same`` [K] are of one person. At most the share ``false_accepts`` (0 .. 1, below 1) of
    the other pairs lies below the threshold.
    """
    others = np.sort(distances[~same])
    threshold = others[int(false_accepts * len(others))]
    return float(np.mean(distances[same] >= threshold))
