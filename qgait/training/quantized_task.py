"""One iteration of quantized training: what is learned from the float network, from labels, and how parameters move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qgait.losses.distillation import embedding_error, feature_error
from qgait.losses.inter_class_distance import inter_class_distance_loss
from qgait.models.layers import Layer
from qgait.quantizers.float_arithmetic import embed_frames
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.training import distributed, quantized_checkpoint
from qgait.training.objective import shared_terms
from qgait.training.precision import DTYPES, autocast
from qgait.training.quantized_checkpoint import Student
from qgait.training.relative_units import RelativeUnits
from qgait.training.run_state import restore_optimizer
from qgait.training.runner import State
from qgait.training.settings import QuantizedSettings
from qgait.training.stages import clip_decay, learning_rate, stage_of, surrogates
from qgait.training.synchronized_norm import synchronize_batch_norm
from qgait.training.validation import Best

Features = dict[str, Tensor]


class QuantizedTask:
    """See ``runner.Task``. ``teacher`` are the float network's layers, on the device; ``mark`` is its fingerprint.

    ``optimizer`` is the state to go on from, empty at the start. ``best`` keeps the best network, or there is None.
    ``spread`` is that of the float network's embeddings.
    """

    def __init__(
        self,
        student: Student,
        teacher: list[Layer],
        settings: QuantizedSettings,
        checkpoint: Path,
        mark: str,
        optimizer: dict[str, Any],
        best: Best | None,
        spread: Tensor,
        device: str,
    ) -> None:
        self.checkpoint, self._settings = checkpoint, settings
        self._student, self._teacher, self._mark, self._device = student, teacher, mark, device
        self._best, self._spread = best, spread
        synchronize_batch_norm(student.modules(), device)
        self._units = RelativeUnits(student.network, student.head, student.units)
        self._compared = compared_features(teacher) if settings.distillation.features else ()
        self.optimizer = torch.optim.Adam(self._units.parameters)
        if optimizer:
            restore_optimizer(self.optimizer, optimizer)

    @property
    def settings(self) -> QuantizedSettings:
        return self._settings

    def prepare(self, position: float) -> float:
        rate = learning_rate(self.settings, position)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._student.network.surrogates = surrogates(self.settings, position)
        return rate

    def terms(
        self, frames: Tensor, labels: Tensor, lengths: list[int] | None, iteration: int, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], Tensor]:
        settings = self.settings
        wanted, theirs = self._taught(frames, lengths)
        embeddings, ours = self._learned(frames, lengths)
        logits = None
        if self._student.head is not None and settings.labels:
            with autocast(settings.precision, self._device):
                logits = self._student.head(embeddings)
        terms, active = shared_terms(settings.losses, embeddings, logits, labels, iteration, generator)
        terms = {name: settings.labels * value for name, value in terms.items()} if settings.labels else {}
        everyone, everyones = distributed.gathered(embeddings), distributed.gathered(wanted)
        if settings.distillation.embeddings:
            terms["embeddings"] = settings.distillation.embeddings * embedding_error(everyone, everyones, self._spread)
        if ours:
            errors = [feature_error(ours[name], theirs[name], distributed.mean) for name in ours]
            terms["features"] = settings.distillation.features * torch.stack(errors).mean()
        guidance = settings.guidance
        if guidance.weight:
            terms["guidance"] = guidance.weight * inter_class_distance_loss(
                everyone,
                everyones,
                distributed.gathered(labels),
                relative=guidance.relative,
                pairs=guidance.pairs,
                per_part=guidance.per_part,
                penalty=guidance.penalty,
            )
        decay = clip_decay(settings, self._student.network)
        return terms if decay is None else {**terms, "clips": decay}, active

    def scale_gradients(self) -> None:
        self._units.scale_gradients()

    def update(self, step: Callable[[], object]) -> None:
        with self._units.counted():
            step()

    def look(self, iteration: int, share: float) -> dict[str, float]:
        error = None if self._best is None else self._best.look(iteration, share)
        return {} if error is None else {"validation": error}

    def finish(self) -> None:
        if self._best is not None:
            self._best.put_back()

    def evaluated(self) -> nn.Module:
        return self._student.network

    def where(self, position: float) -> str:
        return f" (stage {1 if stage_of(self.settings, position)[0] is self.settings.stages.first else 2})"

    def save(self, state: State) -> None:
        optimizer = self.optimizer.state_dict()
        best = {} if self._best is None else self._best.state()
        quantized_checkpoint.save(
            self.checkpoint, self._student, optimizer, self.settings, self._mark, {**state, "best": best}
        )

    def _taught(self, frames: Tensor, lengths: list[int] | None) -> tuple[Tensor, Features]:
        """Embeddings of the float network, and the features that are compared."""
        seen: Features = {}
        with torch.no_grad(), autocast(self.settings.precision, self._device):
            embeddings = embed_frames(self._teacher, frames, None, self._collecting(seen), lengths)
        return embeddings.float(), seen

    def _learned(self, frames: Tensor, lengths: list[int] | None) -> tuple[Tensor, Features]:
        """Of the quantized network, in real numbers."""
        seen: Features = {}
        network = self._student.network
        embeddings = embed(network, frames, DTYPES[self.settings.precision], lengths, self._collecting(seen))
        return embeddings, {name: network.real(name, value) for name, value in seen.items()}

    def _collecting(self, seen: Features) -> Callable[[str, Tensor], None]:
        def observe(name: str, value: Tensor) -> None:
            if name in self._compared:
                seen[name] = value

        return observe


def embed(
    network: SimulatedNetwork,
    frames: Tensor,
    dtype: torch.dtype = torch.float32,
    lengths: list[int] | None = None,
    observe: Callable[[str, Tensor], None] | None = None,
) -> Tensor:
    """Real embeddings float32 [n, P, C] of silhouettes uint8 [n, s, H, W], or of clips of ``lengths`` in one."""
    return network.real(network.layers[-1].name, network(frames, dtype, lengths=lengths, observe=observe))


def compared_features(layers: list[Layer]) -> tuple[str, ...]:
    """What stands for a whole clip, wherever the network looks at all of its frames."""
    return tuple(layer.name for layer in layers if layer.kind == "frame_max")
