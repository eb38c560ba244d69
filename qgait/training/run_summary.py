"""What is said of a training run: before it takes its time, and what came out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qgait.data.opengait import Dataset, Sequence
    from qgait.models.backbone import Backbone
    from qgait.training.configuration import Configuration
    from qgait.training.evaluation import Evaluation
    from qgait.training.validation import Kept


@dataclass(frozen=True)
class Trained:
    """What came out. ``file`` is the checkpoint of a float run, the model of a quantized one.

    ``figures``: percent by measure and condition on the test people, if there are any. ``correlations``: of distances
    between people with the float network's, (Pearson, Spearman), calibrated and trained; quantized runs have them.
    ``kept`` says which of a quantized run's networks was the best, see ``validation``.
    """

    model: str
    bits: str | None
    file: Path
    iterations: int
    people: int
    last_loss: float
    figures: dict[str, float] = field(default_factory=dict)
    correlations: dict[str, tuple[float, float]] = field(default_factory=dict)
    kept: Kept | None = None

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return dataclasses.asdict(self) | {"file": str(self.file)}


def beginning(
    configuration: Configuration, dataset: Dataset, network: Backbone, test: Evaluation | None
) -> Iterator[str]:
    """What is going to be trained, before it takes its time."""
    quantized = configuration.bits is not None
    settings = configuration.of_run
    widths = ", ".join(str(width) for width in configuration.arguments.get("channels", ()))
    parameters = sum(p.numel() for p in network.parameters())
    origin = f" from {configuration.init}" if configuration.init else ""
    yield f"{network.name}{origin}, channels {widths}: {parameters / 1e6:.2f} M parameters."
    tested = "no test people"
    if test is not None:
        tested = f"test: {len(test.sequences)} sequences of {people_of(test.sequences)} people ({test.protocol})"
    yield f"{len(dataset.train)} sequences of {people_of(dataset.train)} people; {tested}."
    if configuration.data.binary:
        yield "Silhouettes are thresholded at 128, in training and in the test; so does `qgait eval --binary`."
    batch = settings.batch
    sampling = batch.sampling
    frames = {
        "fixed": f"{sampling.frames} frames",
        "unfixed": f"{sampling.frames_min} to {sampling.frames_max} frames",
        "all": f"up to {sampling.limit} frames",
    }[sampling.count]
    length = f"{settings.iterations} iterations"
    if quantized:
        stages = configuration.quantized.stages
        length = f"{configuration.bits}, {stages.first.iterations} + {stages.second.iterations} iterations"
    if settings.minutes is not None:
        length += f" in {settings.minutes:g} minutes"
    yield (
        f"{length} of {batch.people} x {batch.clips} clips of {frames}, on {configuration.device} in "
        f"{settings.precision}."
    )


def result(trained: Trained, test: Evaluation | None) -> Iterator[str]:
    """What came out, in words."""
    done = f"{trained.iterations} iterations on {trained.people} people, last loss {trained.last_loss:.4f}."
    if trained.bits is None:
        yield f"{done} Wrote {trained.file}."
    else:
        pairs = ", ".join(f"{first:.3f}, {second:.3f} {when}" for when, (first, second) in trained.correlations.items())
        yield (
            f"{trained.model} {trained.bits}: {done} Distances between people against the float network's (Pearson, "
            f"Spearman): {pairs}. Wrote {trained.file}."
        )
        if trained.kept is not None:
            yield _kept(trained.kept, trained.iterations)
    if test is not None and trained.figures:
        percent = ", ".join(f"{name} {value:.2f} %" for name, value in trained.figures.items())
        yield f"On {people_of(test.sequences)} test people: {percent}."


def _kept(kept: Kept, iterations: int) -> str:
    """Which network the file holds, and why."""
    errors = f"{kept.start:.4f} calibrated, {kept.end:.4f} at the end"
    if kept.iteration == 0:
        found = "none was better than the calibrated one, which was kept: try a lower learning rate or more iterations"
    elif kept.iteration == iterations:
        found = "the last one is the best and was kept"
    else:
        found = f"{kept.error:.4f} after iteration {kept.iteration} is the best and was kept"
    return f"Embeddings' error against the float network's, on sequences held out: {errors}; {found}."


def people_of(sequences: Iterable[Sequence]) -> int:
    """How many people they show."""
    return len({sequence.subject for sequence in sequences})
