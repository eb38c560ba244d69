"""Where two plain structures or two arrays are not the same, and what each has there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

ABSENT = "nothing"


@dataclass(frozen=True)
class Difference:
    """``place`` of a file has ``found`` where a fresh one has ``wanted``; ``more`` values beside it differ too."""

    place: str
    found: str
    wanted: str
    more: int = 0

    def __str__(self) -> str:
        others = f" ({self.more:,} more differ)" if self.more else ""
        return f"{self.place} is {self.found}, not {self.wanted}{others}"


def of_plain(place: str, found: Any, wanted: Any) -> Iterator[Difference]:
    """Of what JSON can hold, with paths such as ``ops[3].stride``; texts, numbers and truth values differ by type."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in [*wanted, *(key for key in found if key not in wanted)]:
            here = f"{place}.{key}" if place else str(key)
            if key not in found or key not in wanted:
                yield Difference(here, shown(found.get(key, ABSENT)), shown(wanted.get(key, ABSENT)))
            else:
                yield from of_plain(here, found[key], wanted[key])
    elif isinstance(found, list) and isinstance(wanted, list):
        if len(found) != len(wanted):
            yield Difference(f"the length of {place}", str(len(found)), str(len(wanted)))
        for i, (a, b) in enumerate(zip(found, wanted, strict=False)):
            yield from of_plain(f"{place}[{i}]", a, b)
    elif type(found) is not type(wanted) or found != wanted:
        yield Difference(place, shown(found), shown(wanted))


def of_arrays(place: str, found: np.ndarray, wanted: np.ndarray) -> Iterator[Difference]:
    """One difference at most: of type or shape, or the first element in C order."""
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        yield Difference(place, _kind(found), _kind(wanted))
        return
    different = np.flatnonzero((found != wanted).ravel())
    if different.size:
        first = int(different[0])
        index = ", ".join(str(int(i)) for i in np.unravel_index(first, found.shape))
        values = str(found.ravel()[first]), str(wanted.ravel()[first])
        yield Difference(f"{place}[{index}]", *values, different.size - 1)


def shown(value: Any) -> str:
    """A value in a sentence, cut where it is long."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"
