"""Data sets in OpenGait's layout: ROOT/subject/type/view/*.pkl, one pickled array of silhouettes per view folder."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from qgait.data.folders import check_folder, sequence_folders, wrong_layout
from qgait.data.partition import Partition, find_partition
from qgait.data.pickles import load_arrays
from qgait.data.silhouettes import Clip, check_clip
from qgait.errors import QgaitError

SUFFIXES = (".pkl",)


@dataclass(frozen=True, order=True)
class Sequence:
    """One walk of one person: where it is, and who, in which condition (``type``) and from which ``view``."""

    subject: str
    type: str
    view: str
    path: Path

    @property
    def name(self) -> str:
        """``subject-type-view``, as in the PROBE_SET of partition files."""
        return f"{self.subject}-{self.type}-{self.view}"

    def load(self, wide: bool = False) -> Clip:
        """The silhouettes, uint8 [n, 64, 44], or all 64 columns; :class:`QgaitError` names a file it cannot read."""
        return check_clip(load_arrays(self.path), str(self.path), wide)


@dataclass(frozen=True)
class Dataset:
    """All sequences below ``root`` in sorted order, and how they are divided.

    ``notes`` are the things worth knowing that :meth:`open` also printed on the standard error stream.
    """

    root: Path
    sequences: tuple[Sequence, ...]
    partition: Partition | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, root: Path | str, partition: Path | str | None = None) -> Dataset:
        """List the sequences below ``root``; no silhouette is read yet.

        ``partition`` is a json file or a built-in name (see :mod:`qgait.data.partition`). Of several .pkl files in one
        view folder the first by name is used. That is printed, as is how many ids of the partition are not there.
        Raises :class:`QgaitError` if there are no sequences, or none for one of the two sets of the partition.
        """
        root = Path(root)
        check_folder(root, "sequences")
        sequences: list[Sequence] = []
        several: list[str] = []
        empty: list[str] = []
        left_out: list[str] = []
        for subject, kind, view, files in sequence_folders(root, SUFFIXES, left_out):
            folder = root / subject / kind / view
            if files:
                sequences.append(Sequence(subject, kind, view, folder / files[0]))
            (several if len(files) > 1 else empty if not files else []).append(f"{subject}/{kind}/{view}")
        if not sequences:
            raise wrong_layout(root, "SUBJECT/TYPE/VIEW/*.pkl", SUFFIXES)
        notes = []
        if left_out:
            notes.append(f"{len(left_out)} entries cannot be used and are left out ({left_out[0]}, ...).")
        if several:
            notes.append(
                f"{len(several)} folders have several .pkl files; the first by name is used ({several[0]}, ...)."
            )
        if empty:
            notes.append(f"{len(empty)} view folders have no .pkl file and are left out ({empty[0]}, ...).")
        divided = None
        if partition is not None:
            divided = find_partition(partition, {s.subject for s in sequences})
            notes += _missing(divided, sequences, str(partition), root)
        for note in notes:
            print(f"{root}: {note}", file=sys.stderr)
        return cls(root, tuple(sequences), divided, tuple(notes))

    @property
    def train(self) -> list[Sequence]:
        """The sequences for training: those of the partition's TRAIN_SET, or all of them without a partition.

        Raises :class:`QgaitError` if there are none.
        """
        return self._chosen(self.partition.train if self.partition else None, "training")

    @property
    def test(self) -> list[Sequence]:
        """The sequences for testing: those of the partition's TEST_SET, or all of them without a partition.

        Raises :class:`QgaitError` if there are none.
        """
        return self._chosen(self.partition.test if self.partition else None, "test")

    def _chosen(self, subjects: frozenset[str] | None, purpose: str) -> list[Sequence]:
        chosen = [s for s in self.sequences if subjects is None or s.subject in subjects]
        if not chosen:
            raise QgaitError(
                f"The partition leaves no {purpose} sequences among the {len(self.subjects)} subjects in {self.root}.",
                "choose another partition, or leave it out to use all subjects",
            )
        return chosen

    @property
    def division(self) -> dict[str, dict[str, int]] | None:
        """Numbers of ``subjects`` and ``sequences`` for ``train``, ``test`` and, if there are any, ``probe``."""
        if self.partition is None:
            return None
        chosen = {
            "train": [s for s in self.sequences if s.subject in self.partition.train],
            "test": [s for s in self.sequences if s.subject in self.partition.test],
            "probe": [s for s in self.sequences if s.name in self.partition.probes],
        }
        return {
            name: {"subjects": len({s.subject for s in part}), "sequences": len(part)}
            for name, part in chosen.items()
            if name != "probe" or part
        }

    @property
    def probes(self) -> frozenset[str]:
        """Names (``subject-type-view``) of the probe sequences, for protocols that need them; may be empty."""
        return self.partition.probes if self.partition else frozenset()

    @property
    def subjects(self) -> list[str]:
        """Sorted subject ids."""
        return sorted({s.subject for s in self.sequences})

    @property
    def kind(self) -> str:
        """``casia-b``, ``oumvlp``, ``grew`` or ``gait3d`` by the form of the names, ``other`` if they fit none."""
        for kind, (subject, kind_of_walk, view) in _NAMES.items():
            if all(
                re.fullmatch(subject, s.subject) and re.fullmatch(kind_of_walk, s.type) and re.fullmatch(view, s.view)
                for s in self.sequences
            ):
                return kind
        return "other"


_NAMES = {
    "casia-b": (r"\d{3}", r"(nm|bg|cl)-\d\d", r"\d{3}"),
    "oumvlp": (r"\d{5}", r"0[01]", r"\d{3}"),
    "grew": (r"\d{5}(train)?|probe", r"0[0-3]", r".+"),
    "gait3d": (r"\d{4}", r"camid\d+_videoid\d+", r"seq\d+"),
}


def _missing(partition: Partition, sequences: list[Sequence], source: str, root: Path) -> list[str]:
    present = {s.subject for s in sequences}
    notes = []
    for name, ids in (("TRAIN_SET", partition.train), ("TEST_SET", partition.test)):
        if ids and not ids & present:
            raise QgaitError(
                f"None of the {len(ids)} subjects in the {name} of {source} is in {root} (it has {min(present)}, ...).",
                "use the partition that belongs to these data",
            )
        if ids - present:
            notes.append(f"{len(ids - present)} of {len(ids)} subjects in the {name} of {source} are not there.")
    absent = partition.probes - {s.name for s in sequences}
    if absent:
        notes.append(f"{len(absent)} of {len(partition.probes)} sequences in the PROBE_SET of {source} are not there.")
    unused = present - partition.train - partition.test
    if unused:
        notes.append(f"{len(unused)} of {len(present)} subjects are in neither set of {source} and are left out.")
    return notes
