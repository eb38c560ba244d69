"""How well people are recognised at every level, by a data set's protocol, and what of that the data do not tell."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.data import opengait
from qgait.data.opengait import Dataset
from qgait.errors import QgaitError
from qgait.evaluation.protocols import evaluate
from qgait.evaluation.separation import separation
from qgait.progress import Progress
from qgait.report.bundles import OpenBundle
from qgait.verification.embedders import Embedder, embed_sequences, open_embedder

MOST_WALKS = 4000  # of which all pairs are compared where no protocol says which: eight million


def recognition(
    checkpoint: Path | None,
    model: Path,
    onnx: Path,
    bundles: Sequence[OpenBundle],
    dataset: Dataset,
    protocol: str,
    frames: int | None,
    progress: Progress,
) -> dict[str, Any]:
    """Figures in percent, as plain data.

    ``results``: of every level and runtime that was evaluated ``rank1`` by condition (None where the data do not fit
    the ``protocol``), ``eer`` and ``frr_at_far``; ``views``: rank-1 by probe view and gallery view of the last of them,
    an integer runtime, None where the protocol has no views; ``missing``: sentences about what the data do not tell,
    ``notes``: remarks of the protocol. Emulated bundles are not evaluated: it would take hours, and their codes are
    compared.
    """
    sequences = dataset.test
    with ExitStack() as stack:
        embedders, missing = _embedders(checkpoint, model, onnx, bundles, stack)
        embeddings = embed_sequences(embedders, sequences, frames, progress=progress)
    results, notes = [], []
    last: dict[str, Any] = {}
    for embedder, of_all in zip(embedders, embeddings, strict=True):
        try:
            found = last = evaluate(protocol, of_all, sequences, probe_set=dataset.probes)
            said = found["notes"]
        except QgaitError as error:
            found, said = _without_protocol(protocol, error, of_all, sequences)
        results.append({"level": embedder.level, "runtime": embedder.runtime} | {key: found[key] for key in _FIGURES})
        notes += [note for note in said if note not in notes]
    return {
        "protocol": protocol,
        "people": len({sequence.subject for sequence in sequences}),
        "sequences": len(sequences),
        "frames": frames,
        "conditions": list(last.get("rank1", ())),
        "results": results,
        "views": last.get("table"),
        "views_by": f"{results[-1]['level']}, {results[-1]['runtime']}",
        "missing": missing,
        "notes": notes,
    }


_FIGURES = ("rank1", "eer", "frr_at_far")


def _embedders(
    checkpoint: Path | None, model: Path, onnx: Path, bundles: Sequence[OpenBundle], stack: ExitStack
) -> tuple[list[Embedder], list[str]]:
    """What computes, in the order of the table, and what cannot."""
    missing = []
    found: list[Embedder] = []
    if checkpoint is None:
        missing.append("The float level was not evaluated: no --checkpoint was given.")
    else:
        found.append(open_embedder(checkpoint, "float", None, stack))
    found += [open_embedder(model, "fake", None, stack), open_embedder(onnx, "int", "ort", stack)]
    found += [open_embedder(each.bundle.path, "int", None, stack) for each in bundles if each.device == "local"]
    return found, missing


def _without_protocol(
    protocol: str, error: QgaitError, embeddings: NDArray[np.float32], sequences: Sequence[opengait.Sequence]
) -> tuple[dict[str, Any], list[str]]:
    """The equal error rate of all pairs of walks, where there are such pairs."""
    notes = [f"No rank-1 by the protocol {protocol}: {error.problem}"]
    some = np.arange(len(sequences))[:: max(1, -(-len(sequences) // MOST_WALKS))]
    eer = None
    try:
        eer = 100 * separation(embeddings[some], [sequences[i].subject for i in some]).equal_error_rate
        notes.append(f"The equal error rate is that of all pairs of {len(some)} walks, whatever their views.")
    except QgaitError as impossible:
        notes.append(f"No equal error rate: {impossible.problem}")
    return {"rank1": None, "eer": eer, "frr_at_far": {}}, notes
