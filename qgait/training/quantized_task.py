"""One iteration of quantized training: the student's losses, the guidance of the teacher, the steps' own rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qgait.losses.inter_class_distance import inter_class_distance_loss
from qgait.models.backbone import Backbone
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.training import distributed, quantized_checkpoint
from qgait.training.objective import shared_terms
from qgait.training.optimization import build_optimizer
from qgait.training.precision import DTYPES, autocast
from qgait.training.quantized_checkpoint import Student
from qgait.training.run_state import restore_optimizer
from qgait.training.runner import State
from qgait.training.settings import QuantizedSettings, Stage
from qgait.training.stages import learning_rate, learns_clips, stage_of, surrogates
from qgait.training.steps import deployable_steps, gradient_scales, parameter_groups, scale_gradients
from qgait.training.synchronized_norm import synchronize_batch_norm


def embed(
    network: SimulatedNetwork, frames: Tensor, dtype: torch.dtype = torch.float32, lengths: list[int] | None = None
) -> Tensor:
    """Real embeddings float32 [n, P, C] of silhouettes uint8 [n, s, H, W], or of clips of ``lengths`` in one."""
    return network(frames, dtype, lengths=lengths).float() * network.embedding_step().float()[:, None]


class QuantizedTask:
    """See ``runner.Task``. ``optimizer`` is the state to go on from, empty at the start; ``mark`` the teacher's."""

    def __init__(
        self,
        student: Student,
        teacher: Backbone,
        settings: QuantizedSettings,
        checkpoint: Path,
        mark: str,
        optimizer: dict[str, Any],
        done: int,
        device: str,
    ) -> None:
        self.checkpoint, self._settings = checkpoint, settings
        self._student, self._teacher, self._mark, self._device = student, teacher, mark, device
        synchronize_batch_norm(student.modules(), device)
        self._scales = gradient_scales(student.network, learns_clips(settings))
        self.optimizer = self._optimizer(stage_of(settings, max(done - 1, 0))[0])
        if optimizer:
            restore_optimizer(self.optimizer, optimizer)

    @property
    def settings(self) -> QuantizedSettings:
        return self._settings

    def prepare(self, iteration: int) -> float:
        stage, done = stage_of(self.settings, iteration)
        if done == 0 and iteration:
            self.optimizer = self._optimizer(stage)
        rate = learning_rate(self.settings, iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._student.network.surrogates = surrogates(self.settings, iteration)
        return rate

    def terms(
        self, frames: Tensor, labels: Tensor, lengths: list[int] | None, iteration: int, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], Tensor]:
        precision, guidance = self.settings.precision, self.settings.guidance
        embeddings = embed(self._student.network, frames, DTYPES[precision], lengths)
        logits = wanted = None
        with autocast(precision, self._device):
            if self._student.head is not None:
                logits = self._student.head(embeddings)
            if guidance.weight:
                with torch.no_grad():
                    wanted = self._teacher(frames.float() / 255, lengths)
        terms, active = shared_terms(self.settings.losses, embeddings, logits, labels, iteration, generator)
        if wanted is not None:
            terms["guidance"] = guidance.weight * inter_class_distance_loss(
                distributed.gathered(embeddings),
                distributed.gathered(wanted),
                distributed.gathered(labels),
                relative=guidance.relative,
                pairs=guidance.pairs,
                per_part=guidance.per_part,
                penalty=guidance.penalty,
            )
        return terms, active

    def scale_gradients(self) -> None:
        scale_gradients(self._student.network, self._scales)

    def update(self, step: Callable[[], object]) -> None:
        with deployable_steps(self._student.network):
            step()

    def evaluated(self) -> nn.Module:
        return self._student.network

    def where(self, iteration: int) -> str:
        first = iteration < self.settings.stages.first.iterations
        return f" (stage {1 if first else 2})"

    def save(self, state: State) -> None:
        optimizer = self.optimizer.state_dict()
        quantized_checkpoint.save(self.checkpoint, self._student, optimizer, self.settings, self._mark, state)

    def _optimizer(self, stage: Stage) -> torch.optim.Optimizer:
        groups = parameter_groups(
            self._student.network, self._student.head, stage.optimizer.weight_decay, learns_clips(self.settings)
        )
        return build_optimizer(groups, stage.optimizer)
