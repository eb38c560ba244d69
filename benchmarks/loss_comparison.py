"""Losses side by side: the same network, batches, iterations and learning rates, only the loss differs.

    python benchmarks/loss_comparison.py WORK_FOLDER --data CASIA-B --partition casia-b --at 400 800 1200

Trains a GaitSet with the batch-all triplet loss, with both forms of the Generalized Inter-class Loss and with the
Center-Ranked loss, and prints rank-1 NM / BG / CL on the test people after each of the iterations --at, because the
abstract of the Center-Ranked loss promises faster convergence. WORK_FOLDER/losses.json gets the same facts. Runs are
resumed when the command is repeated.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from result_table import Table
from walks_at_test import WalksAtTest

from qgait.data.frames import FrameSampling
from qgait.data.opengait import Dataset
from qgait.losses.objective import CenterRanked, Losses, Softmax, Triplet, WeightedMargin
from qgait.models.registry import build
from qgait.training.loop import CHECKPOINT, train
from qgait.training.settings import BatchSettings, OptimizerSettings, Schedule, Settings

OFF = Triplet(weight=0)
LOSSES = {
    "triplet": Losses(),
    "GIL, weighted margin": Losses(triplet=OFF, weighted_margin=WeightedMargin(weight=1)),
    "GIL, softmax": Losses(triplet=OFF, softmax=Softmax(weight=1)),
    "triplet + GIL, softmax": Losses(softmax=Softmax(weight=1)),
    "Center-Ranked": Losses(triplet=OFF, center_ranked=CenterRanked(weight=1)),
}


def main() -> None:
    """Reads the command line, trains what is missing and prints the table."""
    options = _options()
    torch.set_num_threads(options.threads)
    dataset = Dataset.open(options.data, options.partition)
    test = WalksAtTest(dataset.test, options.test_people, options.test_frames)
    table = Table(options.folder / "losses.json", ("loss", "seed", "iterations"))
    for seed in options.seeds:
        for name in options.losses:
            for at in options.at:
                if not table.has(name, seed, at):
                    table.add((name, seed, at), _run(dataset, test, name, at, seed, options))


def _run(
    dataset: Dataset, test: WalksAtTest, name: str, at: int, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Trains until iteration ``at``, going on where an earlier call stopped, and tests."""
    last = max(options.at)
    settings = Settings(
        iterations=at,
        batch=BatchSettings(options.people, options.clips, FrameSampling(frames=options.frames)),
        losses=LOSSES[name],
        optimizer=OptimizerSettings("adam", options.learning_rate, weight_decay=0.0),
        schedule=Schedule(milestones=(last * 2 // 3, last * 9 // 10)),
        precision=options.precision,
        seed=seed,
        save_every=at,
    )
    torch.manual_seed(seed)
    model = build("gaitset", channels=options.channels, embedding=options.embedding)
    out = options.folder / f"{name.replace(', ', '-').replace(' ', '-').lower()}-{seed}"
    train(model, dataset.train, settings, out, device=options.device, resume=(out / CHECKPOINT).exists())
    return test.of_float(model.cpu())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--partition")
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=LOSSES)
    parser.add_argument("--at", type=int, nargs="+", default=[400, 800, 1200], help="iterations after which to test")
    parser.add_argument("--channels", type=int, nargs=3, default=[16, 32, 64])
    parser.add_argument("--embedding", type=int, default=128)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--test-people", type=int, help="only so many of the test people")
    parser.add_argument("--test-frames", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
