"""Why the soft quantizer from the start hinders convergence: gradients and the distance to the grid, over training.

    python benchmarks/gradient_diagnostics.py OUT_FOLDER --data FOLDER --partition casia-b --iterations 300

A GaitSet with random weights is calibrated, and from there trained on its grids, once for every sharpness k (0 is
straight-through), on the same batches with the same learning rate: batch-all triplet loss, SGD with momentum 0.9, no
float training before; or from the float network in --checkpoint. OUT_FOLDER gets gradients.json and gradients.svg with

- the loss, the share of triplets that are active, and that of weights whose integer is not that of the start, over
  iterations (the loss is a mean over active triplets and stays near the margin for long);
- the norm of the gradient by layer, over iterations;
- how far weights and activations inside the grid are from their integers, at the start and at the end (activations have
  8 bits before their table, so few distances occur);
- the gradient of every layer's integers at the start, the same network and batch for every k, against that of k = 0, by
  the number of roundings on the longest way to the embedding: its geometric mean, its root mean square, both beside
  those of a single way, and the cosine of the two.

Without --data the people are synthetic walkers.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
from pathlib import Path
from typing import Any

import gradient_figure
import torch
from gradient_measures import distances, level_gradients, ratios, weight_integers
from torch import Tensor

from qgait.calibration.calibrate import calibrate
from qgait.data.augmentations import Augmentations
from qgait.data.frames import FrameSampling
from qgait.data.opengait import Dataset
from qgait.data.selection import load_clips, spread
from qgait.data.walkers.dataset import synthesize
from qgait.files import replace_file
from qgait.losses.triplet import triplet_loss
from qgait.models import checkpoint
from qgait.models.backbone import describe
from qgait.models.registry import build
from qgait.quantizers.grid import Recipe
from qgait.quantizers.parameters import parameter_key
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.surrogates import Soft, Surrogates
from qgait.training.batches import Batches
from qgait.training.steps import gradient_scales, positive_steps, scale_gradients


def main() -> None:
    """Reads the command line, trains all sharpnesses side by side and writes the figure."""
    options = _options()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    if options.data is None:
        walkers = options.folder / "walkers"
        synthesize(walkers, 8, options.seed, 16, views=(36, 90, 144))
        sequences = Dataset.open(walkers).train
    else:
        sequences = Dataset.open(options.data, options.partition).train
    torch.manual_seed(options.seed)
    if options.checkpoint is not None:
        model = checkpoint.load(options.checkpoint).eval()
    else:
        model = build("gaitset", channels=tuple(options.channels), embedding=options.embedding).eval()
    clips = load_clips(spread(sequences, 24))
    start, _ = calibrate(model.name, describe(model), clips, Recipe.parse(options.bits))

    sampling = FrameSampling(frames=options.frames)
    with Batches(sequences, options.people, options.clips, sampling, Augmentations(), options.seed) as batches:
        first = batches.draw()
        frames, labels = torch.from_numpy(first.frames), torch.from_numpy(first.labels)
        by_k = {k: level_gradients(start, frames, labels, k) for k in options.sharpness}
        runs = [Run(start, k, options.learning_rate) for k in options.sharpness]
        before = distances(start, frames)
        for iteration in range(options.iterations):
            batch = batches.draw()
            for run in runs:
                run.step(torch.from_numpy(batch.frames), torch.from_numpy(batch.labels))
            if (iteration + 1) % options.every == 0 or iteration + 1 == options.iterations:
                told = [f"k = {r.k:g} loss {r.losses[-1]:.3f} active {r.active[-1]:.1%} " for r in runs]
                print(f"iteration {iteration + 1}:", *told, flush=True)
                result = {
                    "data": "synthetic walkers" if options.data is None else options.partition or options.data.name,
                    "bits": options.bits,
                    "start": "random weights" if options.checkpoint is None else options.checkpoint.name,
                    "model": f"{model.name} {options.channels}" if options.checkpoint is None else model.name,
                    "batch": [options.people, options.clips, options.frames],
                    "learning_rate": options.learning_rate,
                    "seed": options.seed,
                    "before": before,
                    "level_gradients": ratios(start.layers, by_k),
                    "runs": [run.result(frames) for run in runs],
                }
                replace_file(options.folder / "gradients.json", json.dumps(result).encode())
                replace_file(options.folder / "gradients.svg", gradient_figure.draw(result).encode())


class Run:
    """One sharpness from the common start on."""

    def __init__(self, start: SimulatedNetwork, k: float, rate: float) -> None:
        self.k, self.network = k, copy.deepcopy(start)
        self.network.surrogates = Surrogates(Soft(k), Soft(k))
        self.optimizer = torch.optim.SGD(self.network.parameters(), rate, momentum=0.9)
        self.scales = gradient_scales(self.network, False)
        self.at_start = weight_integers(start)
        self.losses: list[float] = []
        self.active: list[float] = []
        self.moved: list[float] = []
        self.norms: dict[str, list[float]] = {layer.name: [] for layer in start.layers if layer.weight is not None}

    def step(self, frames: Tensor, labels: Tensor) -> None:
        """One iteration; stops with an error when the loss is not finite."""
        embeddings = self.network(frames) * self.network.embedding_step().float()[:, None]
        loss, active = triplet_loss(embeddings, labels)
        self.active.append(float(active))
        if not math.isfinite(float(loss.detach())):
            raise FloatingPointError(f"k = {self.k}: the loss is {float(loss.detach())} after {len(self.losses)}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for name, norms in self.norms.items():
            norms.append(float(f"{float(_gradient(self.network, name).norm()):.4g}"))
        scale_gradients(self.network, self.scales)
        with positive_steps(self.network):
            self.optimizer.step()
        self.losses.append(float(loss.detach()))
        now = weight_integers(self.network)
        self.moved.append(float((now != self.at_start).double().mean()))

    def result(self, frames: Tensor) -> dict[str, Any]:
        """What the figure needs."""
        return {
            "k": self.k,
            "loss": self.losses,
            "active": self.active,
            "moved": self.moved,
            "norms": self.norms,
            "end": distances(self.network, frames),
        }


def _gradient(network: SimulatedNetwork, layer: str) -> Tensor:
    gradient = network.weights[parameter_key(layer)].grad
    assert gradient is not None
    return gradient


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--partition")
    parser.add_argument("--checkpoint", type=Path, help="a float network to begin with instead of random weights")
    parser.add_argument("--bits", default="w4a4")
    parser.add_argument("--sharpness", type=float, nargs="+", default=[0, 2, 4, 8])
    parser.add_argument("--channels", type=int, nargs=3, default=[8, 16, 32])
    parser.add_argument("--embedding", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--every", type=int, default=20, help="iterations between writing the figure")
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--people", type=int, default=6)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
