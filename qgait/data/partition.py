"""Which subjects are for training and which for testing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from qgait.errors import QgaitError
from qgait.reading import MIB, read_text
from qgait.shown import short
from qgait.structured import check, parse_json

BUILT_IN = ("casia-b",)
MAX_BYTES = 64 * MIB
MOST = 1_000_000  # names in a set
MOST_DIGITS = 18
FIX = 'write {"TRAIN_SET": ["001", ...], "TEST_SET": ["075", ...]} with the names of the subject folders'
_CASIA_B_TRAIN = 74
_Id = Annotated[str, Meta(max_length=255)]


@dataclass(frozen=True)
class Partition:
    """Subject ids for training and for testing; ``probes`` lists "subject-type-view" names (Gait3D only)."""

    train: frozenset[str]
    test: frozenset[str]
    probes: frozenset[str] = frozenset()


def find_partition(choice: Path | str, subjects: Iterable[str]) -> Partition:
    """The partition that ``choice`` means: the name of a built-in one, or a json file as OpenGait ships them.

    ``casia-b`` puts the subjects with the numbers 1 .. 74 into training and all others into the test, whichever of them
    are there. A file is ``{"TRAIN_SET": [ids], "TEST_SET": [ids], "PROBE_SET": ["subject-type-view", ...]}``, the last
    one optional.
    """
    if str(choice) == "casia-b":
        return _casia_b(subjects)
    path = Path(choice)
    if not os.path.lexists(path):
        names = ", ".join(BUILT_IN)
        raise QgaitError(
            f"There is no partition file {path}.", f"give a json file or one of the built-in names: {names}"
        )
    return read_partition(path)


class _File(msgspec.Struct, forbid_unknown_fields=False):
    """The file as OpenGait writes it; what else is in it does not matter."""

    train: Annotated[list[_Id], Meta(max_length=MOST)] = msgspec.field(name="TRAIN_SET")
    test: Annotated[list[_Id], Meta(max_length=MOST)] = msgspec.field(name="TEST_SET")
    probes: Annotated[list[_Id], Meta(max_length=MOST)] = msgspec.field(name="PROBE_SET", default_factory=list)


def read_partition(path: Path) -> Partition:
    """Read a partition file. QgaitError for one that is no JSON, above 64 MiB or of other things than texts."""
    subject = f"The partition {path} cannot be used"
    text = read_text(path, MAX_BYTES, FIX)
    sets = check(parse_json(text, subject, FIX, MAX_BYTES), _File, subject, FIX)
    train, test, probes = map(frozenset, (sets.train, sets.test, sets.probes))
    if train & test:
        both = sorted(train & test)
        problem = f"{len(both)} subjects are in both sets of {path}, {short(both[0])} among them."
        raise QgaitError(problem, "keep them in one.")
    return Partition(train, test, probes)


def _casia_b(subjects: Iterable[str]) -> Partition:
    subjects = list(subjects)
    odd = [s for s in subjects if not s.isdecimal() or len(s) > MOST_DIGITS]
    if odd:
        raise QgaitError(
            f"The partition casia-b goes by subject number, and {short(odd[0])} is none.",
            "give a partition file instead",
        )
    train = frozenset(s for s in subjects if int(s) <= _CASIA_B_TRAIN)
    return Partition(train, frozenset(subjects) - train)
