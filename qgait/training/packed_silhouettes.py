"""The silhouettes of a training run: packed in the user's folder that all runs share, elsewhere, or as the data are."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

    A run whose folder ``out`` has one already, as older runs have, goes on with it. Where the user's folder cannot be
    written to, or has no space, ``out`` is taken, and that is printed.
    """
    from qgait.data.cache_building import NoPlaceError
    from qgait.data.cache_folder import cache_folder
    from qgait.data.silhouette_cache import SilhouetteCache
    from qgait.training.configuration import OFF

    data = configuration.data
    if data.cache == OFF:
        return None
    sequences = dataset.train
    jobs = min(os.cpu_count() or 1, 1 + len(sequences) // SEQUENCES_A_PROCESS)
    form: dict[str, Any] = {"wide": configuration.of_run.batch.augmentations.wide, "binary": data.binary}

    def opened(folder: Path) -> SilhouetteCache:
        return SilhouetteCache.open(sequences, folder, **form, jobs=jobs, progress=progress)

    if data.cache is not None:
        return opened(Path(data.cache))
    shared = cache_folder()
    if shared is None or SilhouetteCache.place(sequences, out, **form).exists():
        return opened(out)
    try:
        return opened(shared)
    except NoPlaceError as error:
        print(f"{error.problem} So this run keeps its silhouettes in {out}.", file=sys.stderr)
        return opened(out)
