"""How a run begins or goes on: its batches, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qgait.data import opengait
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.errors import QgaitError
from qgait.models import checkpoint
from qgait.models.backbone import Backbone
from qgait.shown import short, shown
from qgait.training import distributed
from qgait.training.batches import Batches
from qgait.training.settings import QuantizedSettings, Settings

FREE = ("save_every", "evaluate_every")  # change nothing about the weights
MOST_LISTED = 5


def open_batches(
    sequences: Sequence[opengait.Sequence], settings: Settings | QuantizedSettings, cache: SilhouetteCache | None
) -> Batches:
    """The batches of this process."""
    batch = settings.batch
    return Batches(
        sequences,
        batch.people,
        batch.clips,
        batch.sampling,
        batch.augmentations,
        settings.seed,
        distributed.rank(),
        distributed.world(),
        cache,
    )


def check_classifier(model: Backbone, people: int) -> None:
    """QgaitError unless the classifier, if there is one, has as many classes as the data have people."""
    head = model.head()
    if head is not None and head.fc_bin.shape[2] != people:
        problem = f"The classifier of {model.name} has {head.fc_bin.shape[2]} classes; the data have {people} people."
        fix = "train on the people it knows (`partition`), or without it: `losses.cross_entropy.weight=0`."
        raise QgaitError(problem, fix)


def check_new(path: Path) -> None:
    """QgaitError if the checkpoint ``path`` of another run is there."""
    if path.exists():
        raise QgaitError(f"There already is a run in {path.parent}.", "resume it, or name another folder.")


def read_run(path: Path, part: str, written_by: str) -> dict[str, Any]:
    """The checkpoint of a run whose own entry is called ``part``; QgaitError for another kind of file."""
    content = checkpoint.read(path)
    if not isinstance(content, dict) or not isinstance(content.get(part), Mapping):
        raise QgaitError(f"{path} was not written by {written_by}.", "begin a new run in another folder.")
    return content


def check_settings(path: Path, begun: Mapping[str, Any], settings: Settings | QuantizedSettings) -> None:
    """QgaitError unless ``begun``, the settings in the checkpoint ``path``, let a run go on under ``settings``.

    How often it saves and evaluates may change; so may the number of iterations of a float run, where no learning rate
    depends on it.
    """
    free: tuple[str, ...] = FREE
    if isinstance(settings, Settings) and settings.schedule.kind == "milestones":
        free += ("iterations",) if all(m >= 1 for m in settings.schedule.milestones) else ()
    old, new = dict(_flat(begun)), dict(_flat(asdict(settings)))
    changed = [name for name in [*old, *(n for n in new if n not in old)] if old.get(name) != new.get(name)]
    was = [f"{short(name)} {shown(old.get(name))}" for name in changed if name not in free]
    if was:
        few = ", ".join(was[:MOST_LISTED]) + (f" and {len(was) - MOST_LISTED} more" if len(was) > MOST_LISTED else "")
        raise QgaitError(f"The run in {path.parent} was begun with {few}.", "resume it with the same settings.")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as ``a.b.c``; a list counts as a tuple."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", tuple(value) if isinstance(value, list) else value
