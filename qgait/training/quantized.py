"""Quantized training in QGait's two stages, from a float network that stays on as the teacher.

At the start the float network is calibrated on a few training clips. That is where batch norm is folded: its running
statistics become part of the weights and are frozen from the first iteration on, so that what is trained is what is
deployed. Losses are those of float training, on the real numbers that the embedding's codes stand for, and the
inter-class distance guidance on the same frames as the teacher sees them. See ``stages`` for the schedule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qgait.calibration.calibrate import FRAMES, calibrate
from qgait.data import opengait
from qgait.data.frames import FrameSampling
from qgait.data.selection import load_clips, spread
from qgait.errors import QgaitError
from qgait.losses.cross_entropy import cross_entropy_loss
from qgait.losses.inter_class_distance import distance_correlation, inter_class_distance_loss
from qgait.losses.triplet import triplet_loss
from qgait.models.backbone import Backbone, describe
from qgait.quantizers import model_file
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.surrogates import Surrogates
from qgait.training.batches import Batch, Batches
from qgait.training.loop import _check_classifier, _progress
from qgait.training.quantized_checkpoint import CHECKPOINT, Run, classifier, fingerprint, optimizer, restore, save
from qgait.training.stages import QuantizedSettings, learning_rate, stage_of, surrogates
from qgait.training.steps import copy_steps, gradient_scales, keep_positive, scale_gradients

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
) -> Result:
    """Trains a network on integer grids that starts as ``model`` and is guided by it; ``model`` is left as it was.

    If ``model`` has a classifier (BNNecks), a copy of it is trained along with cross-entropy; it is not exported, and
    its own batch norm goes on as in float training.
    Writes ``out/model.safetensors`` at the end, and ``out/quantized.pt`` at the start, every ``save_every`` iterations
    and at the end: with ``resume`` the run goes on from there to the same losses. Raises QgaitError when a run is
    already there, or cannot be resumed, or when a loss or gradient is not finite: the last checkpoint then stays.
    """
    folder = Path(out)
    path = folder / CHECKPOINT
    if path.exists() and not resume:
        raise QgaitError(f"There already is a run in {folder}.", "resume it, or name another folder.")
    sampling = FrameSampling(frames=settings.frames)
    batches = Batches(sequences, settings.people, settings.clips, sampling, settings.seed)
    _check_classifier(model, batches.classes)
    chosen = spread(sequences, settings.calibration_clips)
    clips = load_clips(chosen)
    people = sorted({s.subject for s in chosen})
    labels = torch.tensor([people.index(s.subject) for s in chosen])

    layers = describe(model.eval().cpu())
    teacher = model.to(device)
    mark = fingerprint(model)
    if resume:
        run = restore(path, model, layers, recipe, settings, mark, device)
        batches.rng.bit_generator.state = run.random_state
    else:
        network, _ = calibrate(model.name, layers, clips, recipe)
        before = _correlation(network.to(device), teacher, clips, labels, device)
        head = classifier(model)
        run = Run(network, head, optimizer(network, head, settings), [], before, batches.rng.bit_generator.state)
        save(path, run, settings, mark)

    _iterate(run, teacher, batches, settings, path, mark, device)
    run.network.surrogates = Surrogates()
    run.network.trained = True
    model_file.save(run.network, folder / MODEL)
    after = _correlation(run.network, teacher, clips, labels, device)
    return Result(model_file.load(folder / MODEL), run.losses, run.before, after)


def _iterate(
    run: Run, teacher: Backbone, batches: Batches, settings: QuantizedSettings, path: Path, mark: str, device: str
) -> None:
    scales = gradient_scales(run.network, settings.learns_clips)
    saved = len(run.losses)
    with _progress() as progress:
        bar = progress.add_task("quantized training", total=settings.total, completed=saved, loss="")
        while (done := len(run.losses)) < settings.total:
            if done == settings.iterations[0]:
                run.optimizer.state.clear()  # stage 2 starts without stage 1's momentum
            for group in run.optimizer.param_groups:
                group["lr"] = learning_rate(settings, done)
            run.network.surrogates = surrogates(settings, done)
            try:
                loss = _step(run, teacher, batches.draw(), scales, settings, device)
            except FloatingPointError as error:
                raise QgaitError(
                    f"{error} at iteration {done + 1} (stage {stage_of(settings, done) + 1}).",
                    f"begin again with a lower learning rate; {path} still holds iteration {saved}.",
                ) from None
            run.losses.append(loss)
            done += 1
            progress.update(bar, advance=1, loss=f"loss {loss:.3f}")
            if done % settings.save_every == 0 or done == settings.total:
                run.random_state = batches.rng.bit_generator.state
                save(path, run, settings, mark)
                recent = run.losses[saved:]
                saved = done
                progress.console.print(f"iteration {done}: mean loss {sum(recent) / len(recent):.4f}")


def _step(
    run: Run, teacher: Backbone, batch: Batch, scales: dict[str, float], settings: QuantizedSettings, device: str
) -> float:
    """One iteration; FloatingPointError, before anything is changed, when its loss or gradient is not finite."""
    frames = torch.from_numpy(batch.frames).to(device)
    labels = torch.from_numpy(batch.labels).to(device)
    embeddings = _embed(run.network, frames)
    loss, _ = triplet_loss(embeddings, labels)
    if run.head is not None:
        loss = loss + cross_entropy_loss(run.head(embeddings), labels)
    if settings.guidance:
        with torch.no_grad():
            wanted = teacher(frames.float() / 255)
        loss = loss + settings.guidance * inter_class_distance_loss(
            embeddings,
            wanted,
            labels,
            relative=settings.guidance_relative,
            pairs=settings.guidance_pairs,
            per_part=settings.guidance_per_part,
            penalty=settings.guidance_penalty,
        )
    value = float(loss.detach())
    if not math.isfinite(value):
        raise FloatingPointError(f"The loss is {value}")
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    gradients = [p.grad for group in run.optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not torch.isfinite(torch.stack([g.double().square().sum() for g in gradients]).sum()):
        raise FloatingPointError("The gradient is not finite")
    scale_gradients(run.network, scales)
    steps = copy_steps(run.network)
    run.optimizer.step()
    keep_positive(run.network, steps)
    return value


def _embed(network: SimulatedNetwork, frames: Tensor) -> Tensor:
    """Real embeddings [n, P, C] of silhouettes uint8 [n, s, H, W]."""
    return network(frames) * network.embedding_step().float()[:, None]


def _correlation(
    network: SimulatedNetwork, teacher: Backbone, clips: Sequence[np.ndarray], labels: Tensor, device: str
) -> tuple[float, float]:
    """Of whole clips' distances between people, from evenly spaced frames as in calibration."""
    ours, theirs = [], []
    frames = np.stack([clip[np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)] for clip in clips])
    with torch.no_grad():
        for part in torch.from_numpy(frames).to(device).split(CLIPS_AT_ONCE):
            ours.append(_embed(network, part))
            theirs.append(teacher(part.float() / 255))
    return distance_correlation(torch.cat(ours).cpu(), torch.cat(theirs).cpu(), labels)
