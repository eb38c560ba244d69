"""What each process does in test_distributed.py: ``python shared_runs.py FOLDER``, as torchrun starts it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from blob_walks import WALKS
from tiny_runs import FLOAT, QUANTIZED, model, stages

from qgait.data.augmentations import Augmentations
from qgait.data.frames import FrameSampling
from qgait.losses.objective import CenterRanked, Losses, Softmax, Uniformity, WeightedMargin
from qgait.quantizers.grid import Recipe
from qgait.training import distributed
from qgait.training.evaluation import Evaluation
from qgait.training.loop import _FloatTask, train
from qgait.training.quantized import train_quantized
from qgait.training.quantized_task import QuantizedTask
from qgait.training.settings import BatchSettings

UNFIXED = FrameSampling("unfixed", frames_min=1, frames_max=4)  # processes have different numbers of frames
ALL = Losses(
    weighted_margin=WeightedMargin(0.5),
    softmax=Softmax(0.5, filter_from=0),
    uniformity=Uniformity(0.1),
    center_ranked=CenterRanked(0.5),
)
FLOATS = dataclasses.replace(FLOAT, batch=BatchSettings(3, 2, UNFIXED, Augmentations(flip=0.5)), losses=ALL)
QUANTIZEDS = dataclasses.replace(QUANTIZED, batch=BatchSettings(3, 2, UNFIXED), stages=stages((2, 1)), save_every=9)


def main(folder: Path) -> None:
    """Trains, stops and goes on, quantizes; process 0 leaves losses, first gradients and weights."""
    walks = [dataclasses.replace(walk, type=kind) for walk in WALKS for kind in ("nm-01", "nm-05")]
    evaluation = Evaluation(walks, "casia-b")
    gradients, statistics = _recorded(_FloatTask)
    whole = model(seed=distributed.rank())  # process 0's weights are everyone's
    losses = train(whole, WALKS, FLOATS, folder / "float", evaluate=evaluation)
    stopped = dataclasses.replace(FLOATS, iterations=3)
    train(model(), WALKS, stopped, folder / "stopped")
    resumed = train(model(seed=5), WALKS, FLOATS, folder / "stopped", resume=True)

    quantized_gradients, _ = _recorded(QuantizedTask)
    result = train_quantized(model(), WALKS, Recipe(4, 4), QUANTIZEDS, folder / "quantized")
    if distributed.rank() == 0:
        content = {
            "losses": losses,
            "resumed": resumed,
            "gradients": gradients[0],
            "statistics": statistics[0],
            "refusal": _refusal() if distributed.world() > 1 else "",
            "quantized losses": result.losses,
            "quantized gradients": quantized_gradients[0],
            "before": result.before,
        }
        torch.save(content, folder / "result.pt")


def _refusal() -> str:
    """What torch's own synchronised batch norm says of tensors on the CPU."""
    try:
        torch.nn.SyncBatchNorm(3)(torch.zeros(2, 3))
    except ValueError as error:
        return str(error)
    return ""


def _recorded(task: Any) -> tuple[list[list[torch.Tensor]], list[dict[str, torch.Tensor]]]:
    """Every iteration's gradients from now on, as the optimizer gets them, and float networks' running statistics."""
    update, kept, statistics = task.update, [], []

    def watching(self: Any, step: Callable[[], object]) -> None:
        groups = self.optimizer.param_groups
        kept.append([p.grad.clone() for group in groups for p in group["params"] if p.grad is not None])
        if task is _FloatTask:
            statistics.append({name: value.clone() for name, value in self._model.named_buffers()})
        update(self, step)

    task.update = watching
    return kept, statistics


if __name__ == "__main__":
    main(Path(sys.argv[1]))
