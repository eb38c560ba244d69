"""Quantized training in QGait's two stages, from a float network that stays on as the teacher.

At the start the float network is calibrated on a few training clips. That is where batch norm is folded: its running
statistics become part of the weights and are frozen from the first iteration on, so that what is trained is what is
deployed. What is minimised is how far embeddings, features and distances between people are from those of the float
network, which sees the same frames; and the losses of float training, if they are given a weight. See ``stages`` for
the schedule. The network that comes nearest to the float one on walks held out of the batches is the one that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qgait import provenance
from qgait.calibration.calibrate import calibrate
from qgait.data import opengait
from qgait.data.selection import spread
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.losses.inter_class_distance import distance_correlation
from qgait.models.backbone import Backbone, describe
from qgait.models.layers import Layer
from qgait.quantizers import model_file
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.surrogates import Surrogates
from qgait.training import distributed, quantized_checkpoint
from qgait.training.quantized_checkpoint import CHECKPOINT, Student, classifier, fingerprint
from qgait.training.quantized_task import QuantizedTask
from qgait.training.relative_units import units_of
from qgait.training.run_state import losses_of, restoring
from qgait.training.runner import Run
from qgait.training.settings import QuantizedSettings
from qgait.training.start import check_classifier, check_new, open_batches
from qgait.training.validation import Best, Kept, Walks, clips_of, hold_out

MODEL = "model.safetensors"


@dataclass(frozen=True)
class Result:
    """``network`` as its file has it; ``losses`` of every iteration.

    ``before`` and ``after``: (Pearson, Spearman) correlation of the quantized network's distances between people with
    the float network's, on the calibration clips, after calibration and after training. ``kept``: see ``validation``;
    None where nothing was held out.
    """

    network: SimulatedNetwork
    losses: list[float]
    before: tuple[float, float]
    after: tuple[float, float]
    kept: Kept | None = None


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
    Where labels count and ``model`` has a classifier, a copy of it is trained along with cross-entropy; it is not
    exported, and its own batch norm goes on as in float training.
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
    shown, held = hold_out(sequences, settings.validation_clips)
    with open_batches(shown, settings, cache) as batches:
        if settings.classifies:
            check_classifier(model, batches.classes)
        distributed.copy_from_first(model.to(here))
        layers = describe(model.eval().cpu())
        mark = fingerprint(model.to(here))
        teacher = [_ready(layer, here) for layer in layers]
        examples = _Examples.of(shown, settings.calibration_clips, cache, teacher, here)
        if not resume:
            distributed.from_first(lambda: _begin(path, model, layers, recipe, settings, examples, mark))
        content = distributed.from_first(lambda: quantized_checkpoint.read(path, recipe, settings, mark))
        with restoring(path):
            student = quantized_checkpoint.restore(content, model, layers, recipe, settings.classifies, here)
            state = content["quantized"]
            done = len(losses_of(state))
            best = Best(Walks.of(teacher, clips_of(held, cache), here), student.network) if held else None
            spread = examples.walks.spread
            task = QuantizedTask(student, teacher, settings, path, mark, content["optimizer"], best, spread, here)
            run = Run(task, batches, here, evaluate)
            if done:
                run.restore(state)
                if best is not None:
                    best.restore(state["best"])
            elif best is not None:
                best.begin()
        run.go()
    network = student.network
    network.surrogates, network.trained = Surrogates(), best is None or best.iteration > 0
    network.provenance = {**model.provenance, "made_by": provenance.THIS, "method": "training"}
    after = examples.correlation(network)

    def finish() -> SimulatedNetwork:
        model_file.save(network, folder / MODEL)
        return model_file.load(folder / MODEL)

    return Result(
        distributed.from_first(finish), run.losses, student.before, after, None if best is None else best.kept
    )


@dataclass(frozen=True)
class _Examples:
    """Training clips for calibration and for the correlation of distances; ``labels`` int64 [clips]."""

    clips: list[np.ndarray]
    labels: Tensor
    walks: Walks

    @classmethod
    def of(
        cls,
        sequences: Sequence[opengait.Sequence],
        count: int,
        cache: SilhouetteCache | None,
        teacher: list[Layer],
        device: str,
    ) -> _Examples:
        chosen = spread(sequences, count)
        people = sorted({s.subject for s in chosen})
        labels = torch.tensor([people.index(s.subject) for s in chosen])
        clips = clips_of(chosen, cache)
        return cls(clips, labels, Walks.of(teacher, clips, device))

    def correlation(self, network: SimulatedNetwork) -> tuple[float, float]:
        """Of distances between people with the float network's, from the frames that calibration looks at."""
        return distance_correlation(self.walks.embeddings(network).cpu(), self.walks.wanted.cpu(), self.labels)


def _ready(layer: Layer, device: str) -> Layer:
    """In float32 on the device; weights of convolutions channels last, which is twice as fast."""
    if layer.weight is None:
        return layer
    order = torch.channels_last if layer.weight.ndim == 4 else torch.contiguous_format
    weight = layer.weight.float().to(device, memory_format=order)
    return replace(layer, weight=weight, bias=None if layer.bias is None else layer.bias.float().to(device))


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
    head = classifier(model) if settings.classifies else None
    before = examples.correlation(network.to(examples.walks.frames.device))
    student = Student(network, head, before, units_of(network, head))
    quantized_checkpoint.save(path, student, {}, settings, mark, {"losses": torch.empty(0)})
