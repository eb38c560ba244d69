"""One answer a pair, "is this the same person?", for the pairs that a protocol compares: its probes and its gallery."""

from __future__ import annotations

from collections.abc import Sequence as Items
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.data.opengait import Sequence
from qgait.evaluation.distances import part_distances
from qgait.evaluation.separation import equal_error, false_rejects_at

MOST_PAIRS = 1 << 23  # 200 MB while they are sorted
FALSE_ACCEPTS = (0.01, 0.001)


def pair_errors(
    embeddings: NDArray[np.float32],
    sequences: Items[Sequence],
    gallery: Items[int],
    probes: Items[int],
    distance: str,
    other_views_only: bool = False,
) -> dict[str, Any]:
    """Errors of one threshold for all pairs of ``probes`` with ``gallery``, indices into ``sequences``; percent.

    - ``eer``: the equal error rate, None where all pairs are of one person or none is;
    - ``frr_at_far``: the share of pairs of one person that are refused when at most 1 % (``"0.01"``) and 0.1 % of the
      pairs of two people are accepted; without those that so few pairs cannot tell;
    - ``same_pairs``, ``different_pairs``: how many pairs are of one person and of two;
    - ``notes``: sentences about what could not be told or was left out.

    With ``other_views_only`` pairs of one view take no part, as in rank-1 across views. Of more than 2**23 pairs every
    n-th probe takes part.
    """
    every = max(1, -(-len(gallery) * len(probes) // MOST_PAIRS))
    some = list(probes)[::every]
    names, views = (np.array([getattr(s, key) for s in sequences]) for key in ("subject", "view"))
    same = names[some][:, None] == names[list(gallery)]
    taken = views[some][:, None] != views[list(gallery)] if other_views_only else np.ones(same.shape, bool)
    distances = part_distances(embeddings[some], embeddings[list(gallery)], distance)[taken]
    same = same[taken]
    counts = {"same_pairs": int(same.sum()), "different_pairs": int((~same).sum())}
    if not all(counts.values()):
        missing = "two people" if counts["same_pairs"] else "one person"
        notes = [f"No equal error rate: no pair of probe and gallery is of {missing}."]
        return {"eer": None, "frr_at_far": {}, **counts, "notes": notes}
    rates = {str(far): far for far in FALSE_ACCEPTS if far * counts["different_pairs"] >= 1}
    return {
        "eer": 100 * equal_error(distances, same).equal_error_rate,
        "frr_at_far": {name: 100 * false_rejects_at(distances, same, far) for name, far in rates.items()},
        **counts,
        "notes": [f"The equal error rate is that of one in {every} probes."] if every > 1 else [],
    }
