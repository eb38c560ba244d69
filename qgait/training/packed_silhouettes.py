"""The silhouettes of a training run: packed beside the run, in a folder of their own, or as the data set has them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qgait.progress import Progress

if TYPE_CHECKING:
    from qgait.data.opengait import Dataset
    from qgait.data.silhouette_cache import SilhouetteCache
    from qgait.training.configuration import Configuration

SEQUENCES_A_PROCESS = 500  # fewer are packed before another process has started


def open_silhouettes(
    configuration: Configuration, dataset: Dataset, out: Path, progress: Progress
) -> SilhouetteCache | None:
    """The cache of the training sequences, built if it is not there; None to read the data set's own files.

    Every machine has its own, so several that share the folder ``out`` share the cache, and others do not miss it.
    """
    from qgait.data.silhouette_cache import SilhouetteCache
    from qgait.training.configuration import OFF

    data = configuration.data
    if data.cache == OFF:
        return None
    sequences = dataset.train
    jobs = min(os.cpu_count() or 1, 1 + len(sequences) // SEQUENCES_A_PROCESS)
    wide = configuration.of_run.batch.augmentations.wide
    return SilhouetteCache.open(
        sequences, data.cache or out, wide=wide, binary=data.binary, jobs=jobs, progress=progress
    )
