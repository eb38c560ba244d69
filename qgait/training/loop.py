"""The training loop: P x K batches, triplet loss and, where the backbone has a classifier, cross-entropy.

A run can be stopped at any moment: the checkpoint in its folder holds the weights, the optimizer, the schedule and the
state of the random generators, so that going on gives the same losses as never having stopped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn

from qgait.data import opengait
from qgait.data.frames import FrameSampling
from qgait.errors import QgaitError
from qgait.losses.cross_entropy import cross_entropy_loss
from qgait.losses.triplet import triplet_loss
from qgait.models.backbone import Backbone
from qgait.models.checkpoint import read, save
from qgait.models.identify import check_names
from qgait.training.batches import Batch, Batches

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Settings:
    """What decides a run. The defaults are OpenGait's for GaitSet on CASIA-B.

    The learning rate is multiplied by 0.1 at each of ``milestones`` (iterations). ``precision`` is float32 or
    bfloat16 (automatic mixed precision: weights and losses stay float32).
    """

    iterations: int = 40_000
    people: int = 8
    clips: int = 16
    frames: int = 30
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    milestones: tuple[int, ...] = (10_000, 20_000, 30_000)
    precision: str = "float32"
    seed: int = 0
    save_every: int = 1_000


def train(
    model: Backbone,
    sequences: Sequence[opengait.Sequence],
    settings: Settings,
    out: Path | str,
    *,
    device: str = "cpu",
    resume: bool = False,
    evaluate: Callable[[Backbone], str] | None = None,
) -> list[float]:
    """Trains ``model`` in place and leaves it in eval mode; the loss of every iteration is returned.

    ``out/checkpoint.pt`` is written every ``save_every`` iterations and at the end; then ``evaluate`` is called and
    what it says is printed. With ``resume`` the run goes on from that checkpoint, under the same settings (more
    iterations may be asked for). Raises QgaitError when a run is already there, cannot be resumed, or diverges.
    """
    path = Path(out) / CHECKPOINT
    if path.exists() and not resume:
        raise QgaitError(f"There already is a run in {out}.", "resume it, or name another folder.")
    torch.manual_seed(settings.seed)
    model.to(device, memory_format=_memory_format(model))
    sampling = FrameSampling(frames=settings.frames)
    batches = Batches(sequences, settings.people, settings.clips, sampling, settings.seed)
    _check_classifier(model, batches.classes)
    optimizer = _optimizer(model, settings)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(settings.milestones), 0.1)
    losses: list[float] = []
    if resume:
        losses = _restore(path, model, optimizer, schedule, batches, settings)

    with _progress() as progress:
        bar = progress.add_task("training", total=settings.iterations, completed=len(losses), loss="")
        while len(losses) < settings.iterations:
            model.train()
            loss, active = _step(model, optimizer, batches.draw(), settings.precision, device)
            losses.append(loss)
            schedule.step()
            progress.update(bar, advance=1, loss=f"loss {loss:.3f}")
            done = len(losses)
            if math.isnan(loss):
                raise QgaitError(f"The loss is NaN after {done} iterations.", "lower the learning rate and resume.")
            if done % settings.save_every == 0 or done == settings.iterations:
                _save(path, model, optimizer, schedule, batches, settings, losses)
                recent = losses[-settings.save_every :]
                said = f", {evaluate(model.eval())}" if evaluate else ""
                mean = sum(recent) / len(recent)
                progress.console.print(f"iteration {done}: mean loss {mean:.4f}, {active:.1%} of triplets active{said}")
    model.eval()
    return losses


def _step(
    model: Backbone, optimizer: torch.optim.Optimizer, batch: Batch, precision: str, device: str
) -> tuple[float, float]:
    """(loss, share of the triplets that are not yet apart by the margin)."""
    frames = torch.from_numpy(batch.frames).to(device).float() / 255
    labels = torch.from_numpy(batch.labels).to(device)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16"):
        embeddings, logits = model.training_outputs(frames)
    loss, active = triplet_loss(embeddings, labels)
    if logits is not None:
        loss = loss + cross_entropy_loss(logits, labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return float(loss.detach()), float(active)


def _optimizer(model: Backbone, settings: Settings) -> torch.optim.Optimizer:
    match settings.optimizer:
        case "sgd":
            return torch.optim.SGD(model.parameters(), settings.learning_rate, 0.9, weight_decay=settings.weight_decay)
        case "adam":
            return torch.optim.Adam(model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    raise QgaitError(f"There is no optimizer called {settings.optimizer!r}.", "choose sgd or adam.")


def _memory_format(model: Backbone) -> torch.memory_format:
    """Channels last is a third faster, but in torch 2.13 the CPU gradient of a strided 1 x 1 convolution with fewer
    than 16 channels then writes outside its memory.
    """
    strided = any(m.kernel_size == (1, 1) and m.stride != (1, 1) for m in model.modules() if isinstance(m, nn.Conv2d))
    return torch.contiguous_format if strided else torch.channels_last


def _check_classifier(model: Backbone, people: int) -> None:
    weight = model.state_dict().get("BNNecks.fc_bin")
    if weight is not None and weight.shape[2] != people:
        problem = f"The classifier of {model.name} has {weight.shape[2]} classes; the data have {people} people."
        raise QgaitError(problem, f"build the model with classes={people}.")


def _save(
    path: Path,
    model: Backbone,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.MultiStepLR,
    batches: Batches,
    settings: Settings,
    losses: list[float],
) -> None:
    state = {
        "settings": asdict(settings),
        "losses": losses,
        "batches": json.dumps(batches.rng.bit_generator.state),
        "torch": torch.get_rng_state(),
    }
    save(
        model,
        path,
        optimizer=optimizer.state_dict(),
        scheduler=schedule.state_dict(),
        iteration=len(losses),
        training=state,
    )


def _restore(
    path: Path,
    model: Backbone,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.MultiStepLR,
    batches: Batches,
    settings: Settings,
) -> list[float]:
    """Puts everything back as it was when ``path`` was written; the losses until then are returned."""
    content: Any = read(path)
    if not isinstance(content, dict) or "training" not in content:
        raise QgaitError(f"{path} was not written by this training loop.", "start a new run from its weights.")
    check_names(path, model.name, content["model"], model.state_dict())
    state = content["training"]
    wanted = asdict(settings)
    changed = [
        key
        for key, value in state["settings"].items()
        if key not in ("iterations", "save_every") and value != wanted[key]
    ]
    if changed:
        was = ", ".join(f"{key} {state['settings'][key]!r}" for key in changed)
        raise QgaitError(f"The run in {path.parent} was begun with {was}.", "resume it with the same settings.")
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    schedule.load_state_dict(content["scheduler"])
    batches.rng.bit_generator.state = json.loads(state["batches"])
    torch.set_rng_state(state["torch"])
    return list(state["losses"])


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
