"""Rank-1 across views: each probe view against each gallery view, identical views excluded from the mean."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.data.opengait import Sequence
from qgait.errors import QgaitError
from qgait.evaluation.distances import part_distances
from qgait.evaluation.metrics import NO_MATE, wrong_before_match
from qgait.evaluation.pair_errors import pair_errors
from qgait.evaluation.sides import count, mates, need, of_type


@dataclass(frozen=True)
class CrossView:
    """Rank-1 in percent, float64 [views, views] (probe view, gallery view), NaN where one of the two has no sequences.

    ``mateless`` are the indices of the probes that met a gallery view, other than their own, without their subject.
    """

    views: tuple[str, ...]
    cells: NDArray[np.float64]
    mateless: tuple[int, ...]

    @property
    def by_probe_view(self) -> dict[str, float]:
        """Mean over the other gallery views, for each probe view that can be compared with any."""
        cells = np.where(np.eye(len(self.views), dtype=bool), np.nan, self.cells)
        return {v: float(np.nanmean(row)) for v, row in zip(self.views, cells, strict=True) if not np.isnan(row).all()}

    @property
    def mean(self) -> float:
        """Mean over the probe views of those means; NaN if no two different views can be compared."""
        means = list(self.by_probe_view.values())
        return float(np.mean(means)) if means else float("nan")


def cross_view(
    embeddings: NDArray[np.float32],
    sequences: Items[Sequence],
    gallery: Items[int],
    probes: Items[int],
    distance: str,
) -> CrossView:
    """Compare ``probes`` with ``gallery``, indices into ``sequences`` and ``embeddings`` [N, P, C], view by view."""
    views = sorted({sequences[i].view for i in [*gallery, *probes]})
    names = np.array([s.subject for s in sequences])
    of_view = {view: [i for i in gallery if sequences[i].view == view] for view in views}
    cells = np.full((len(views), len(views)), np.nan)
    mateless: set[int] = set()
    for row, probe_view in enumerate(views):
        probe = [i for i in probes if sequences[i].view == probe_view]
        for column, gallery_view in enumerate(views):
            candidates = of_view[gallery_view]
            if not probe or not candidates:
                continue
            match = names[probe][:, None] == names[candidates]
            wrong = wrong_before_match(part_distances(embeddings[probe], embeddings[candidates], distance), match)
            cells[row, column] = 100 * np.mean(wrong == 0)
            if row != column:
                mateless.update(i for i, count in zip(probe, wrong, strict=True) if count == NO_MATE)
    return CrossView(tuple(views), cells, tuple(sorted(mateless)))


def across_views(
    embeddings: NDArray[np.float32],
    sequences: Items[Sequence],
    distance: str,
    gallery_types: tuple[str, ...],
    conditions: Mapping[str, tuple[str, ...]],
) -> dict[str, Any]:
    """The result of a protocol that compares different views, see :func:`qgait.evaluation.protocols.evaluate`.

    ``conditions`` maps the name of each condition to the types of its probes.
    """
    gallery = of_type(sequences, gallery_types)
    need(gallery, f"gallery sequences (types {', '.join(gallery_types)})", sequences)
    probes = {condition: of_type(sequences, types) for condition, types in conditions.items()}
    everyone = sorted(i for some in probes.values() for i in some)
    need(everyone, f"probe sequences (types {', '.join(t for types in conditions.values() for t in types)})", sequences)
    notes = [f"There are no {condition} probes." for condition, some in probes.items() if not some]
    found = {c: cross_view(embeddings, sequences, gallery, some, distance) for c, some in probes.items() if some}
    single = [condition for condition, result in found.items() if np.isnan(result.mean)]
    if len(single) == len(found):
        raise QgaitError(
            f"The data have no probe and gallery sequences from different views (views: {', '.join(_views(found))}).",
            "this protocol compares different views; record at least two",
        )
    notes += [f"The {condition} probes have no gallery from another view." for condition in single]
    compared = {condition: result for condition, result in found.items() if condition not in single}
    mateless = sorted({i for result in compared.values() for i in result.mateless})
    errors = pair_errors(embeddings, sequences, gallery, everyone, distance, other_views_only=True)
    notes += errors.pop("notes")
    return {
        "rank1": {condition: result.mean for condition, result in compared.items()},
        **errors,
        "by_probe_view": {condition: result.by_probe_view for condition, result in compared.items()},
        "table": {"views": _views(found)} | {c: _rows(result, _views(found)) for c, result in compared.items()},
        **count(sequences, gallery, everyone),
        **mates(sequences, mateless, len(everyone), "in at least one view, each counted as an error there", notes),
    }


def _views(found: dict[str, CrossView]) -> list[str]:
    return sorted({view for result in found.values() for view in result.views})


def _rows(result: CrossView, views: list[str]) -> list[list[float | None]]:
    place = {view: i for i, view in enumerate(result.views)}

    def cell(row: str, column: str) -> float | None:
        if row not in place or column not in place:
            return None
        value = result.cells[place[row], place[column]]
        return None if np.isnan(value) else float(value)

    return [[cell(row, column) for column in views] for row in views]
