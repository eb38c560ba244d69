"""What a bundle's library says it was built with. Sizes are taken from there and not from the manifest beside it."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.runtime.bundle import Bundle

_MOST_PARTS = 4096
_PRINTED = re.compile(
    r"frame (\d+) (\d+)\nembedding (\d+) (\d+)\nzero_point (-?\d+)\narena (\d+)\nscales((?: \d{1,10})+)\n", re.ASCII
)


@dataclass(frozen=True, eq=False)
class Description:
    """Sizes of a frame and of an embedding, the meaning of its codes, and the bytes of an arena."""

    frame_shape: tuple[int, int]
    embedding_shape: tuple[int, int]
    zero_point: int
    arena_bytes: int
    scale: NDArray[np.float32]

    @staticmethod
    def loaded(library: ctypes.CDLL, name: str) -> Description:
        """The ``struct gait_description`` called ``name`` in a library of this process.

        QgaitError when the library has none, or one that contradicts itself.
        """
        try:
            size, height, width, parts, channels, zero_point, arena = (ctypes.c_int32 * 7).in_dll(library, name)
        except ValueError:
            raise QgaitError("The library does not say what it was built with.", "compile it again.") from None
        if not 0 < parts <= _MOST_PARTS or size != 4 * (7 + parts):
            raise QgaitError(f"{name} of the library contradicts itself.", "compile it again.")
        scale = np.array((ctypes.c_float * (7 + parts)).in_dll(library, name)[7:], np.float32)
        return Description((height, width), (parts, channels), zero_point, arena, scale)

    @staticmethod
    def printed(text: str) -> Description | None:
        """What ``gait-run describe`` said, or None when it is something else."""
        found = _PRINTED.search(text)
        if found is None:
            return None
        height, width, parts, channels, zero_point, arena = map(int, found.groups()[:6])
        bits = np.array([int(word) for word in found[7].split()], np.uint64).astype(np.uint32)
        return Description((height, width), (parts, channels), zero_point, arena, bits.view(np.float32))

    def check(self, bundle: Bundle) -> None:
        """QgaitError, naming what differs, unless the manifest of ``bundle`` says the same."""
        told = bundle.manifest
        pairs = [
            ("input.shape", list(bundle.frame_shape), list(self.frame_shape)),
            ("output.shape", list(bundle.embedding_shape), list(self.embedding_shape)),
            ("output.zero_point", bundle.zero_point, self.zero_point),
            ("memory.arena_bytes", told["memory"]["arena_bytes"], self.arena_bytes),
            ("output.scales", bundle.scale.tolist(), self.scale.tolist()),
        ]
        for key, said, built in pairs:
            if said != built:
                built_with = "others" if key == "output.scales" else f"{built}, not {said}"
                raise QgaitError(
                    f"The library of {bundle.path} was built with {built_with}: {key} of its manifest is wrong.",
                    "compile it again (qgait compile): one of the two was changed.",
                )
