"""How close the training loop is to its network's own speed.

    python benchmarks/training_throughput.py [--model gaitset] [--people 4] [--clips 4] [--frames 10]

For float and w4a4, float32 and bfloat16: samples a second of the loop (batches drawn, loaded from disk and augmented,
losses, gradient norm, log) beside plain torch forward, loss, backward and optimizer step of the same network on a batch
that stays in memory. The two take turns in one process, iteration by iteration; the figures are medians. --device cuda
measures a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from qgait.data.augmentations import Augmentations
from qgait.data.frames import FrameSampling
from qgait.data.opengait import Dataset, Sequence
from qgait.data.walkers.dataset import synthesize
from qgait.losses.inter_class_distance import inter_class_distance_loss
from qgait.losses.objective import Losses
from qgait.models.backbone import Backbone
from qgait.models.registry import build
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.training.batches import Batch, Batches
from qgait.training.loop import train
from qgait.training.precision import DTYPES, autocast
from qgait.training.quantized import train_quantized
from qgait.training.quantized_task import embed
from qgait.training.settings import BatchSettings, OptimizerSettings, Precision, QuantizedSettings, Settings, Stages

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
WARM_UP = 2  # iterations that do not count


def main() -> None:
    """Prints one line for each combination."""
    options = _options()
    torch.set_num_threads(options.threads)
    batch = BatchSettings(
        options.people, options.clips, FrameSampling(frames=options.frames), Augmentations(flip=0.2, rotate=0.2)
    )
    with tempfile.TemporaryDirectory() as folder:
        synthesize(Path(folder) / "walkers", options.people, 0, 24, views=(36, 90))
        walks = Dataset.open(Path(folder) / "walkers").train
        print(f"{options.model} {options.channels or ''} on {options.device}, {options.threads} threads: samples/s")
        print(f"{'':8}{'precision':10}{'loop':>9}{'plain':>9}{'loop / plain':>14}")
        for kind in ("float", "w4a4"):
            for precision in PRECISIONS:
                out = Path(folder) / f"{kind} {precision}"
                loop, plain = measure(kind, precision, options, batch, walks, out)
                print(f"{kind:8}{precision:10}{loop:9.2f}{plain:9.2f}{loop / plain:14.3f}", flush=True)


def measure(
    kind: str, precision: Precision, options: argparse.Namespace, batch: BatchSettings, walks: list[Sequence], out: Path
) -> tuple[float, float]:
    """Samples a second of (the loop, the plain network)."""
    torch.manual_seed(0)
    model = build(options.model, **({"channels": options.channels} if options.channels else {}))
    optimizer = OptimizerSettings(learning_rate=1e-4)
    with Batches(walks, batch.people, batch.clips, batch.sampling, batch.augmentations, 1) as batches:
        turns = Turns(batches.draw(), model, precision, options.device)
    if kind == "float":
        settings = Settings(options.iterations, batch, optimizer=optimizer, precision=precision, evaluate_every=1)
        train(model, walks, settings, out, device=options.device, evaluate=turns)
    else:
        default = Stages()
        stages = Stages(
            replace(default.first, iterations=options.iterations),
            replace(default.second, iterations=0),
        )
        quantized = QuantizedSettings(stages, batch, precision=precision, calibration_clips=4, evaluate_every=1)
        train_quantized(model, walks, Recipe.parse(kind), quantized, out, device=options.device, evaluate=turns)
    samples = batch.people * batch.clips
    loop, plain = (samples / statistics.median(times[WARM_UP:]) for times in (turns.loop, turns.plain))
    return loop, plain


class Turns:
    """Called by the loop after every iteration: takes the time since the last call, then does a plain iteration.

    ``loop`` and ``plain`` are seconds.
    """

    def __init__(self, batch: Batch, teacher: Backbone, precision: Precision, device: str) -> None:
        self.loop: list[float] = []
        self.plain: list[float] = []
        self._frames, self._labels = (torch.from_numpy(x).to(device) for x in (batch.frames, batch.labels))
        self._teacher, self._precision, self._device = teacher, precision, device
        self._optimizer: torch.optim.Optimizer | None = None
        self._ended = 0.0

    def __call__(self, network: Any) -> dict[str, float]:
        """See the class."""
        started = self._now()
        self.loop.append(started - self._ended)
        if self._optimizer is None:
            self._optimizer = torch.optim.SGD(network.parameters(), 0.0, 0.9)  # moves nothing
        loss = self._loss(network)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self._ended = self._now()
        self.plain.append(self._ended - started)
        return {}

    def _loss(self, network: Any) -> torch.Tensor:
        losses, guidance = Losses(), torch.zeros((), device=self._device)
        if isinstance(network, SimulatedNetwork):
            embeddings, logits = embed(network, self._frames, DTYPES[self._precision]), None
            with torch.no_grad(), autocast(self._precision, self._device):
                wanted = self._teacher(self._frames.float() / 255)
            guidance = inter_class_distance_loss(embeddings, wanted, self._labels)
        else:
            network.train()
            with autocast(self._precision, self._device):
                embeddings, logits = network.training_outputs(self._frames.float() / 255)
        terms, _ = losses.terms(embeddings, logits, self._labels, 0, torch.Generator())
        return torch.stack([*terms.values()]).sum() + guidance

    def _now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gaitset")
    parser.add_argument("--channels", type=int, nargs="+")
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
