"""Which sequences are gallery and which are probes, and what a report says about those that have no counterpart."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence as Items
from typing import Any

from qgait.data.opengait import Sequence
from qgait.errors import QgaitError


def of_type(sequences: Items[Sequence], types: Collection[str]) -> list[int]:
    """Indices of the sequences whose type is one of ``types``."""
    return [i for i, s in enumerate(sequences) if s.type in types]


def need(found: Items[int], what: str, sequences: Items[Sequence]) -> None:
    """Refuse data in which nothing was found for one side."""
    if not found:
        types = sorted({s.type for s in sequences})
        shown = ", ".join(types[:8]) + (", ..." if len(types) > 8 else "")
        raise QgaitError(f"The data have no {what}; their types are {shown}.", "choose the protocol of these data")


def count(sequences: Items[Sequence], gallery: Items[int], probes: Items[int]) -> dict[str, Any]:
    """The sizes of both sides, and how many sequences take no part."""
    unused = len(sequences) - len(gallery) - len(probes)
    return {"gallery": len(gallery), "probes": len(probes), "unused": unused}


def mates(
    sequences: Items[Sequence], mateless: Items[int], probes: int, consequence: str, notes: list[str]
) -> dict[str, Any]:
    """Names of the probes without a mate in the gallery, and ``notes`` with a sentence on them added."""
    names = [sequences[i].name for i in mateless]
    if names:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        notes = [*notes, f"{len(names)} of {probes} probes have no gallery mate {consequence}: {shown}."]
    return {"probes_without_mate": names, "notes": notes}
