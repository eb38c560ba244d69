"""Which subjects are for training and which for testing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qgait.errors import QgaitError

BUILT_IN = ("casia-b",)
_CASIA_B_TRAIN = 74


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
    if not path.is_file():
        names = ", ".join(BUILT_IN)
        raise QgaitError(
            f"There is no partition file {path}.", f"give a json file or one of the built-in names: {names}"
        )
    return read_partition(path)


def read_partition(path: Path) -> Partition:
    """Read a partition file."""
    fix = 'write {"TRAIN_SET": ["001", ...], "TEST_SET": ["075", ...]} with the names of the subject folders'
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise QgaitError(f"The partition {path} is not a json file ({error}).", fix) from error
    if not isinstance(content, dict) or "TRAIN_SET" not in content or "TEST_SET" not in content:
        raise QgaitError(f"The partition {path} lacks TRAIN_SET or TEST_SET.", fix)
    lists = [content["TRAIN_SET"], content["TEST_SET"], content.get("PROBE_SET", [])]
    if not all(isinstance(ids, list) and all(isinstance(i, str) for i in ids) for ids in lists):
        raise QgaitError(f"The sets in the partition {path} are not lists of texts.", fix)
    train, test, probes = map(frozenset, lists)
    if train & test:
        both = sorted(train & test)
        raise QgaitError(f"{len(both)} subjects are in both sets of {path}, {both[0]} among them.", "keep them in one")
    return Partition(train, test, probes)


def _casia_b(subjects: Iterable[str]) -> Partition:
    subjects = list(subjects)
    odd = [s for s in subjects if not s.isdecimal()]
    if odd:
        raise QgaitError(
            f"The partition casia-b goes by subject number, and {odd[0]} is none.", "give a partition file instead"
        )
    train = frozenset(s for s in subjects if int(s) <= _CASIA_B_TRAIN)
    return Partition(train, frozenset(subjects) - train)
