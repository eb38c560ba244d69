"""Quantized training in QGait's two stages, from a float network that stays on as the teacher.

At the start the float network is calibrated on a few training clips. That is where batch norm is folded: its running
statistics become part of the weights and are frozen from the first iteration on, so that what is trained is what is
deployed. Losses are those of float training, on the real numbers that the embedding's codes stand for, and the
inter-class distance guidance on the same frames as the teacher sees them. See ``stages`` for the schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qgait import provenance
from qgait.calibration.calibrate import calibrate, some_frames
from qgait.data import opengait
from qgait.data.selection import load_clips, spread
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.data.silhouettes import cut
from qgait.losses.inter_class_distance import distance_correlation
from qgait.models.backbone import Backbone, describe
from qgait.models.layers import Layer
from qgait.quantizers import model_file
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.surrogates import Surrogates
from qgait.training import distributed, quantized_checkpoint
from qgait.training.quantized_checkpoint import CHECKPOINT, Student, classifier, fingerprint
from qgait.training.quantized_task import QuantizedTask, embed
from qgait.training.run_state import losses_of, restoring
from qgait.training.runner import Run
from qgait.training.settings import QuantizedSettings
from qgait.training.start import check_classifier, check_new, open_batches

MODEL = "model.safetensors"
CLIPS_AT_ONCE = 8


@dataclass(frozen=True)
class Result:
    """``network`` as its file has it; ``losses`` of every iteration.

    ``before`` and ``after``: (Pearson, Spearman) correlation of the quantized network's distances between people with
    the float network's, on the calibration clips, after calibration and after training.
    """

    network: SimulatedNetwork
    losses: list[float]
    before: tuple[float, float]
    after: tuple[float, float]


def train_quantized(
    model: Backbone,
    sequences: Sequence[opengait.Sequence],
    recipe: Recipe,
    settings: QuantizedSettings,
    out: Path | str,
    *,
    device: str = "cpu",
    resume: bool = False,
    evaluate: Callable[[SimulatedNetwork], dict[str, float]] | None = None,
    cache: SilhouetteCache | None = None,
) -> Result:
    """Trains a network on integer grids that starts as ``model`` and is guided by it; ``model`` is left as it was.

    ``recipe`` gives the bits and ``settings.first_last`` those of the first and the last layer.
    If ``model`` has a classifier, a copy of it is trained along with cross-entropy; it is not exported, and
    its own batch norm goes on as in float training.
    Writes ``out/model.safetensors`` at the end, and ``out/quantized.pt`` at the start, every ``settings.save_every``
    iterations and at the end: with ``resume`` the run goes on from there to the same losses. ``out/log.csv``,
    ``evaluate``, processes and errors are as in ``loop.train``.
    """
    folder = Path(out)
    path = folder / CHECKPOINT
    recipe = replace(recipe, first_last=settings.first_last)
    here = distributed.join(device)
    if not resume:
        distributed.from_first(lambda: check_new(path))
    with open_batches(sequences, settings, cache) as batches:
        check_classifier(model, batches.classes)
        distributed.copy_from_first(model.to(here))
        layers = describe(model.eval().cpu())
        teacher, mark = model.to(here), fingerprint(model)
        examples = _Examples.of(sequences, settings.calibration_clips, cache)
        if not resume:
            distributed.from_first(lambda: _begin(path, model, layers, recipe, settings, examples, mark))
        content = distributed.from_first(lambda: quantized_checkpoint.read(path, recipe, settings, mark))
        with restoring(path):
            student = quantized_checkpoint.restore(content, model, layers, recipe, here)
            state = content["quantized"]
            done = len(losses_of(state))
            task = QuantizedTask(student, teacher, settings, path, mark, content["optimizer"], done, here)
            run = Run(task, batches, here, evaluate)
            if done:
                run.restore(state)
        run.go()
    network = student.network
    network.surrogates, network.trained = Surrogates(), True
    network.provenance = {**model.provenance, "made_by": provenance.THIS, "method": "training"}
    after = _correlation(network, teacher, examples, here)

    def finish() -> SimulatedNetwork:
        model_file.save(network, folder / MODEL)
        return model_file.load(folder / MODEL)

    return Result(distributed.from_first(finish), run.losses, student.before, after)


@dataclass(frozen=True)
class _Examples:
    """Training clips for calibration and for the correlation of distances; ``labels`` int64 [clips]."""

    clips: list[np.ndarray]
    labels: Tensor

    @classmethod
    def of(cls, sequences: Sequence[opengait.Sequence], count: int, cache: SilhouetteCache | None) -> _Examples:
        """From the ``cache``, if there is one: its pixels are those of training."""
        chosen = spread(sequences, count)
        people = sorted({s.subject for s in chosen})
        clips = load_clips(chosen) if cache is None else [cut(cache.clip(s)) for s in chosen]
        return cls(clips, torch.tensor([people.index(s.subject) for s in chosen]))


def _begin(
    path: Path,
    model: Backbone,
    layers: list[Layer],
    recipe: Recipe,
    settings: QuantizedSettings,
    examples: _Examples,
    mark: str,
) -> None:
    """Calibrates, and writes the checkpoint of a run without iterations."""
    network, _ = calibrate(model.name, layers, examples.clips, recipe)
    device = str(next(model.parameters()).device)
    student = Student(network.to(device), classifier(model), _correlation(network, model, examples, device))
    quantized_checkpoint.save(path, student, {}, settings, mark, {"losses": torch.empty(0)})


def _correlation(network: SimulatedNetwork, teacher: Backbone, examples: _Examples, device: str) -> tuple[float, float]:
    """Of whole clips' distances between people, from the frames that calibration looks at."""
    ours, theirs = [], []
    chosen = [some_frames(network.layers, clip) for clip in examples.clips]
    with torch.no_grad():
        for part in torch.from_numpy(np.stack(chosen)).to(device).split(CLIPS_AT_ONCE):
            ours.append(embed(network, part))
            theirs.append(teacher(part.float() / 255))
    return distance_correlation(torch.cat(ours).cpu(), torch.cat(theirs).cpu(), examples.labels)
