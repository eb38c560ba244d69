"""Float training: P x K batches and the losses of ``qgait.losses`` on a backbone in OpenGait's layout of parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from qgait.data import opengait
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.models.backbone import Backbone
from qgait.models.checkpoint import float32, save
from qgait.models.identify import check_names
from qgait.training import distributed
from qgait.training.objective import shared_terms
from qgait.training.optimization import build_optimizer, learning_rate
from qgait.training.precision import autocast
from qgait.training.run_state import restore_optimizer, restoring
from qgait.training.runner import Run, State
from qgait.training.settings import Settings
from qgait.training.start import check_classifier, check_new, check_settings, open_batches, read_run
from qgait.training.synchronized_norm import synchronize_batch_norm

CHECKPOINT = "checkpoint.pt"


def train(
    model: Backbone,
    sequences: Sequence[opengait.Sequence],
    settings: Settings,
    out: Path | str,
    *,
    device: str = "cpu",
    resume: bool = False,
    evaluate: Callable[[Backbone], dict[str, float]] | None = None,
    cache: SilhouetteCache | None = None,
) -> list[float]:
    """Trains ``model`` in place and leaves it in eval mode; the loss of every iteration is returned.

    ``out/checkpoint.pt`` is written every ``settings.save_every`` iterations, every two minutes and at the end, and a
    row of ``out/log.csv`` for every iteration; ``evaluate`` gives figures for it, see ``evaluation.Evaluation``. With
    ``resume`` the run goes on from that checkpoint to the same losses. Processes started by torchrun share every batch.
    Raises QgaitError when a run is already there, cannot be resumed, or has a loss or gradient that is not finite.
    """
    path = Path(out) / CHECKPOINT
    here = distributed.join(device)
    if not resume:
        distributed.from_first(lambda: check_new(path))
    with open_batches(sequences, settings, cache) as batches:
        check_classifier(model, batches.classes)
        task = _FloatTask(model, settings, path, here)
        run = Run(task, batches, here, evaluate)
        if resume:
            with restoring(path):
                run.restore(task.restore())
        run.go()
    model.provenance = {}  # its weights are no longer those of a file
    model.eval()
    return run.losses


class _FloatTask:
    """See ``runner.Task``."""

    def __init__(self, model: Backbone, settings: Settings, checkpoint: Path, device: str) -> None:
        self.checkpoint, self._settings, self._device = checkpoint, settings, device
        self._model = model.to(device, memory_format=_memory_format(model))
        synchronize_batch_norm(model, device)
        distributed.copy_from_first(model)
        self.optimizer = build_optimizer(model.parameters(), settings.optimizer)

    @property
    def settings(self) -> Settings:
        return self._settings

    def prepare(self, position: float) -> float:
        if not self._model.training:
            self._model.train()
        settings = self.settings
        rate = learning_rate(settings.optimizer.learning_rate, settings.schedule, position, settings.iterations)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def terms(
        self, frames: Tensor, labels: Tensor, lengths: list[int] | None, iteration: int, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], Tensor]:
        with autocast(self.settings.precision, self._device):
            embeddings, logits = self._model.training_outputs(frames.float() / 255, lengths)
        return shared_terms(self.settings.losses, embeddings, logits, labels, iteration, generator)

    def scale_gradients(self) -> None:
        pass

    def update(self, step: Callable[[], object]) -> None:
        step()

    def look(self, iteration: int, share: float) -> dict[str, float]:
        return {}

    def finish(self) -> None:
        pass

    def evaluated(self) -> nn.Module:
        return self._model.eval()

    def where(self, position: float) -> str:
        return ""

    def save(self, state: State) -> None:
        """Under OpenGait's names; its own training goes on from ``scheduler`` by its own milestones."""
        done, rate = len(state["losses"]), self.optimizer.param_groups[0]["lr"]
        save(
            self._model,
            self.checkpoint,
            optimizer=self.optimizer.state_dict(),
            scheduler={"last_epoch": done, "_step_count": done + 1, "_last_lr": [rate]},
            iteration=done,
            training={"settings": asdict(self.settings), **state},
        )

    def restore(self) -> State:
        """Puts weights and optimizer back; the run's own state is returned."""
        content = distributed.from_first(self._read)
        self._model.load_state_dict(content["model"])
        restore_optimizer(self.optimizer, content["optimizer"])
        state: State = content["training"]
        return state

    def _read(self) -> State:
        content = read_run(self.checkpoint, "training", "float training")
        with restoring(self.checkpoint):
            check_names(self.checkpoint, self._model.name, content["model"], self._model.state_dict())
            check_settings(self.checkpoint, content["training"]["settings"], self.settings)
            content["model"] = float32(self.checkpoint, content["model"])
        return content


def _memory_format(model: Backbone) -> torch.memory_format:
    """Channels last is a third faster, but in torch 2.13 the CPU gradient of a strided 1 x 1 convolution with fewer
    than 16 channels then writes outside its memory. Convolutions over time have no such format.
    """
    if any(isinstance(m, nn.Conv3d) for m in model.modules()):
        return torch.contiguous_format
    strided = any(m.kernel_size == (1, 1) and m.stride != (1, 1) for m in model.modules() if isinstance(m, nn.Conv2d))
    return torch.contiguous_format if strided else torch.channels_last
