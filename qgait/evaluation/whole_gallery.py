"""Every probe against the whole gallery, whatever the views: the protocols of GREW and Gait3D."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence as Items
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.data.opengait import Sequence
from qgait.errors import QgaitError
from qgait.evaluation.distances import part_distances
from qgait.evaluation.metrics import precision_and_penalty, rank_accuracy
from qgait.evaluation.pair_errors import pair_errors
from qgait.evaluation.sides import count, mates, need, of_type


def grew(embeddings: NDArray[np.float32], sequences: Items[Sequence], distance: str) -> dict[str, Any]:
    """GREW's local protocol: gallery type 01, probe type 02, rank-1/5/10/20; probes without a mate are errors."""
    gallery, probes = of_type(sequences, ("01",)), of_type(sequences, ("02",))
    need(gallery, "gallery sequences (type 01)", sequences)
    need(probes, "probe sequences (type 02)", sequences)
    at_home = {sequences[i].subject for i in gallery}
    mateless = [i for i in probes if sequences[i].subject not in at_home]
    distances, match = _compare(embeddings, sequences, gallery, probes, distance)
    errors = pair_errors(embeddings, sequences, gallery, probes, distance)
    notes = errors.pop("notes")
    return {
        **_ranks(distances, match, (1, 5, 10, 20)),
        **errors,
        **count(sequences, gallery, probes),
        **mates(sequences, mateless, len(probes), "and count as errors", notes),
    }


def gait3d(
    embeddings: NDArray[np.float32], sequences: Items[Sequence], distance: str, probe_set: Collection[str]
) -> dict[str, Any]:
    """Gait3D: ``probe_set`` against all others; rank-1/5/10, mAP, mINP; probes without a mate are left out."""
    if not probe_set:
        raise QgaitError(
            "The gait3d protocol needs to know which sequences are probes.",
            "give Gait3D's partition file, which has a PROBE_SET",
        )
    wanted = set(probe_set)
    probes = [i for i, s in enumerate(sequences) if s.name in wanted]
    gallery = [i for i, s in enumerate(sequences) if s.name not in wanted]
    need(probes, "sequence that is in the PROBE_SET", sequences)
    need(gallery, "gallery sequences (all are in the PROBE_SET)", sequences)
    at_home = {sequences[i].subject for i in gallery}
    with_mate = [i for i in probes if sequences[i].subject in at_home]
    if not with_mate:
        raise QgaitError("No probe has a sequence of the same subject in the gallery.", "use the whole test set")
    mateless = sorted(set(probes) - set(with_mate))
    notes: list[str] = []
    if len(probes) < len(wanted):
        notes.append(f"{len(wanted) - len(probes)} of {len(wanted)} sequences of the PROBE_SET are not in the data.")
    distances, match = _compare(embeddings, sequences, gallery, with_mate, distance)
    precision, penalty = precision_and_penalty(distances, match)
    errors = pair_errors(embeddings, sequences, gallery, with_mate, distance)
    notes += errors.pop("notes")
    return {
        **_ranks(distances, match, (1, 5, 10)),
        "map": {"all": 100 * float(precision.mean())},
        "minp": {"all": 100 * float(penalty.mean())},
        **errors,
        **count(sequences, gallery, probes),
        **mates(sequences, mateless, len(probes), "and are left out, as OpenGait does", notes),
    }


def _compare(
    embeddings: NDArray[np.float32],
    sequences: Items[Sequence],
    gallery: list[int],
    probes: list[int],
    distance: str,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Distances and sameness of person, both [probes, gallery]."""
    names = np.array([s.subject for s in sequences])
    match = names[probes][:, None] == names[gallery]
    return part_distances(embeddings[probes], embeddings[gallery], distance), match


def _ranks(distances: NDArray[np.float32], match: NDArray[np.bool_], ranks: tuple[int, ...]) -> dict[str, Any]:
    return {f"rank{k}": {"all": 100 * rank_accuracy(distances, match, k)} for k in ranks}
