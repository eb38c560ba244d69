"""The test protocols of the gait data sets, as OpenGait implements them: CASIA-B, OUMVLP, GREW (local) and Gait3D.

``docs/data.md`` states each of them exactly. All figures are percent.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence as Items
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.data.opengait import Sequence
from qgait.errors import QgaitError
from qgait.evaluation.cross_view import across_views
from qgait.evaluation.whole_gallery import gait3d, grew

PROTOCOLS = ("casia-b", "oumvlp", "grew", "gait3d")
_CASIA_B_GALLERY = ("nm-01", "nm-02", "nm-03", "nm-04")
_CASIA_B_PROBES: dict[str, tuple[str, ...]] = {
    "nm": ("nm-05", "nm-06"),
    "bg": ("bg-01", "bg-02"),
    "cl": ("cl-01", "cl-02"),
}


def check_protocol(protocol: str) -> None:
    """Refuse the name of a protocol that does not exist."""
    if protocol not in PROTOCOLS:
        raise QgaitError(f"There is no protocol {protocol!r}.", f"choose one of {', '.join(PROTOCOLS)}")


def evaluate(
    protocol: str,
    embeddings: NDArray[np.float32],
    sequences: Items[Sequence],
    distance: str = "euclidean",
    probe_set: Collection[str] = (),
) -> dict[str, Any]:
    """Accuracy of ``embeddings``, float32 [N, parts, channels], one for each of the test ``sequences``.

    The result holds ``protocol``, ``distance``, the numbers of ``gallery``, ``probes`` and ``unused`` sequences, and

    - ``rank1``: ``{"nm": ..., "bg": ..., "cl": ...}`` for casia-b (without conditions that the data lack),
      ``{"all": ...}`` elsewhere; ``rank5``, ``rank10``, ``rank20``, ``map`` and ``minp`` in the same form where the
      protocol has them;
    - ``eer``, ``frr_at_far``, ``same_pairs`` and ``different_pairs``: a yes or no for every pair of probe and gallery,
      see :func:`qgait.evaluation.pair_errors.pair_errors`;
    - for casia-b and oumvlp ``by_probe_view`` (condition -> view -> rank-1) and ``table``: ``views`` and, for each
      condition, rank-1 as a list of rows (probe view) of columns (gallery view), None where there are no sequences;
    - ``probes_without_mate``: names of the probes whose subject is missing in the gallery;
    - ``notes``: sentences about that and about sequences that take no part.

    ``distance`` is ``euclidean`` or ``cosine``; ``probe_set`` holds the names of gait3d's probe sequences. Raises
    :class:`QgaitError` if the data lack what the protocol compares.
    """
    check_protocol(protocol)
    _check(embeddings, sequences)
    embeddings = embeddings.astype(np.float32, copy=False)
    head = {"protocol": protocol, "distance": distance}
    if protocol == "casia-b":
        return head | across_views(embeddings, sequences, distance, _CASIA_B_GALLERY, _CASIA_B_PROBES)
    if protocol == "oumvlp":
        return head | across_views(embeddings, sequences, distance, ("01",), {"all": ("00",)})
    if protocol == "grew":
        return head | grew(embeddings, sequences, distance)
    return head | gait3d(embeddings, sequences, distance, probe_set)


def _check(embeddings: NDArray[np.float32], sequences: Items[Sequence]) -> None:
    if embeddings.ndim != 3 or len(embeddings) != len(sequences) or embeddings.dtype.kind not in "fiu":
        raise QgaitError(
            f"Embeddings {embeddings.dtype} {list(embeddings.shape)} do not belong to {len(sequences)} sequences.",
            "give one embedding [parts, channels] for each sequence",
        )
    if not len(sequences):
        raise QgaitError("There are no sequences to evaluate.", "check the data folder and its partition")
    broken = np.flatnonzero(~np.isfinite(embeddings).all(axis=(1, 2)))
    if len(broken):
        name = sequences[broken[0]].name
        raise QgaitError(f"{len(broken)} embeddings contain NaN or infinity ({name}, ...).", "check the model")
