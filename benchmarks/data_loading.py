"""Frames a second of training's data loading, beside what the network takes in.

    python benchmarks/data_loading.py DATA CACHES [--device cuda]

DATA is a data set in OpenGait's layout; caches of its silhouettes are built in the folder CACHES, and kept. Batches are
8 people x 16 clips of 30 frames, as GaitSet's on CASIA-B. Loading runs in one thread without anything beside it; the
first figure counts time on the clock, the second the thread's own processor time, which is what others leave alone on a
busy machine. Every row draws other sequences. The first run reads from the disk; repeat it for caches in memory.
Augmentations are GaitBase's on CASIA-B (rotate 0.3, erase 0.3) and those on Gait3D (perspective 0.2, flip 0.2, rotate
0.2; from 64 columns). The network's figure is GaitSet's forward and backward pass with the triplet loss, on frames that
are on the device already.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from qgait.commands.output import progress, table
from qgait.data.augmentations import Augmentations
from qgait.data.frames import FrameSampling
from qgait.data.opengait import Dataset, Sequence
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.losses.triplet import triplet_loss
from qgait.models.registry import build
from qgait.training.batches import Batches

PEOPLE, CLIPS, FRAMES = 8, 16, 30
AUGMENTATIONS = {
    "none": Augmentations(),
    "GaitBase, CASIA-B": Augmentations(rotate=0.3, erase=0.3),
    "GaitBase, Gait3D": Augmentations(perspective=0.2, flip=0.2, rotate=0.2),
}


def frames_a_second(draw: Callable[[], object], count: int, frames: int) -> tuple[float, float]:
    """By the clock and by this process's processor time, after one call that is not counted."""
    draw()
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range(count):
        draw()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return count * frames / clock, count * frames / processor


def loading(
    sequences: list[Sequence], augmentations: Augmentations, cache: SilhouetteCache | None, count: int, seed: int
) -> tuple[float, float]:
    sampling = FrameSampling(frames=FRAMES)
    with Batches(sequences, PEOPLE, CLIPS, sampling, augmentations, seed, cache=cache, ahead=0) as batches:
        return frames_a_second(batches.draw, count, PEOPLE * CLIPS * FRAMES)


def network(device: str, clips: int, count: int) -> tuple[float, float]:
    torch.manual_seed(0)
    model = build("gaitset").to(device, memory_format=torch.channels_last)
    half = device != "cpu"
    frames = torch.rand(clips, FRAMES, 64, 44, device=device)
    labels = torch.from_numpy(np.arange(clips) // 2).to(device)

    def step() -> float:
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=half):
            embeddings, _ = model.training_outputs(frames)
        loss = triplet_loss(embeddings.float(), labels)[0]
        loss.backward()
        return float(loss.detach())  # waits for the device

    return frames_a_second(step, count, clips * FRAMES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("caches", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clips", type=int, help="clips in the network's batch (cpu: 8, else 128)")
    parser.add_argument("--batches", type=int, default=40, help="batches to load for each figure")
    parser.add_argument("--jobs", type=int, default=1, help="processes that build the caches")
    args = parser.parse_args()

    sequences = list(Dataset.open(args.data).sequences)
    rows = []
    for kind in ("pickles", "cache", "binary cache"):
        for name, augmentations in AUGMENTATIONS.items():
            cache, size = None, ""
            if kind != "pickles":
                with progress() as report:
                    cache = SilhouetteCache.open(
                        sequences,
                        args.caches,
                        wide=augmentations.wide,
                        binary=kind != "cache",
                        jobs=args.jobs,
                        progress=report,
                    )
                size = f"{cache.path.stat().st_size:,}"
            count = args.batches if cache else max(1, args.batches // 10)
            clock, processor = loading(sequences, augmentations, cache, count, len(rows))
            rows.append((kind, name, f"{clock:,.0f}", f"{processor:,.0f}", size))
    clips = args.clips or (8 if args.device == "cpu" else PEOPLE * CLIPS)
    clock, processor = network(args.device, clips, 3 if args.device == "cpu" else 30)
    own = f"{processor:,.0f}" if args.device == "cpu" else ""
    rows.append((f"GaitSet, {args.device}", "", f"{clock:,.0f}", own, ""))
    table("frames a second", ("silhouettes from", "augmentations", "clock", "processor time", "bytes"), rows)


if __name__ == "__main__":
    main()
