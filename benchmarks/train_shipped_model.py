"""How the model in the package was made: a small GaitSet trained on synthetic walkers, on the CPU.

    python benchmarks/train_shipped_model.py WORK_FOLDER

Draws 80 people for training and 20 for the test, trains, and prints rank-1 by CASIA-B's protocol on the 20 people it
never saw. Then it calibrates the network to 8 bits and prints the same figures. WORK_FOLDER gets walkers/, run/
(resumed when the command is repeated), and what qgait/models/shipped/ holds: gaitset_walkers_float.safetensors, the
checkpoint, and gaitset_walkers.safetensors with its provenance in gaitset_walkers.json. About 25 minutes on one
processor. Everything is drawn from fixed seeds; another processor or number of threads changes the last digits of the
weights all the same.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from qgait import __version__
from qgait.calibration.calibrate import calibrate
from qgait.data.frames import FrameSampling
from qgait.data.opengait import Dataset
from qgait.data.opengait import Sequence as Walk
from qgait.data.selection import load_clips, spread
from qgait.data.silhouettes import Clip
from qgait.data.walkers.dataset import VERSION, synthesize
from qgait.evaluation.protocols import evaluate
from qgait.models.backbone import Backbone, describe
from qgait.models.embedding import embed_clip
from qgait.models.registry import build
from qgait.quantizers import model_file
from qgait.quantizers.grid import Recipe
from qgait.training.loop import CHECKPOINT, train
from qgait.training.settings import BatchSettings, OptimizerSettings, Schedule, Settings

SEED, TRAIN_PEOPLE, TEST_PEOPLE, MEAN_FRAMES = 1, 80, 20, 30
CALIBRATION = 64  # sequences
CHANNELS, EMBEDDING = (16, 16, 32), 64
SETTINGS = Settings(
    iterations=4000,
    batch=BatchSettings(6, 4, FrameSampling(frames=6)),
    optimizer=OptimizerSettings("adam", 1e-3, weight_decay=0.0),
    schedule=Schedule(milestones=(2600, 3500)),
    precision="bfloat16",
    seed=SEED,
    save_every=200,
)


def draw_walkers(root: Path) -> Dataset:
    """All 100 people, one process a processor."""
    draw = partial(synthesize, root, 1, SEED, MEAN_FRAMES)
    draw(1)  # alone, because it labels the folder
    with ProcessPoolExecutor() as pool:
        list(pool.map(draw, range(2, TRAIN_PEOPLE + TEST_PEOPLE + 1)))
    return Dataset.open(root)


def rank1(embed: Callable[[Clip], NDArray[np.float32]], walks: list[Walk]) -> dict[str, float]:
    """Rank-1 for nm, bg and cl, in percent, by CASIA-B's protocol."""
    embeddings = np.stack([embed(walk.load()) for walk in walks])
    figures = evaluate("casia-b", embeddings, walks)["rank1"]
    return {condition: round(figure, 1) for condition, figure in figures.items()}


def main(work: Path) -> None:
    """Draw, train, save, test."""
    torch.set_num_threads(1)
    walks = draw_walkers(work / "walkers").sequences
    known = [walk for walk in walks if int(walk.subject) <= TRAIN_PEOPLE]
    new = [walk for walk in walks if int(walk.subject) > TRAIN_PEOPLE]
    torch.manual_seed(SEED)
    model = build("gaitset", channels=CHANNELS, embedding=EMBEDDING)
    train(model, known, SETTINGS, work / "run", resume=(work / "run" / CHECKPOINT).exists())
    save_file(model.state_dict(), work / "gaitset_walkers_float.safetensors")
    said = rank1(lambda clip: embed_clip(model, clip), new)
    print(f"{len(new)} walks of {TEST_PEOPLE} people never seen: rank-1 {said}")
    quantize(model.eval(), known, new, said, work)


def quantize(model: Backbone, known: list[Walk], new: list[Walk], said: dict[str, float], work: Path) -> None:
    """Calibrates on people of the training and writes the model and its provenance."""
    layers = describe(model)
    network, report = calibrate("gaitset", layers, load_clips(spread(known, CALIBRATION)), Recipe(8, 8))
    step = network.embedding_step().detach().numpy()[:, None]
    quantized = rank1(lambda clip: (network.embed(clip) * step).astype(np.float32), new)
    print(f"w8a8: rank-1 {quantized}. {report.verdict()}")
    model_file.save(network, work / "gaitset_walkers.safetensors")
    facts = {
        "made by": "python benchmarks/train_shipped_model.py WORK_FOLDER",
        "data": f"qgait data synth, walkers version {VERSION}, seed {SEED}, mean length {MEAN_FRAMES} frames",
        "training people": f"001 to {TRAIN_PEOPLE:03d}",
        "test people, never seen": f"{TRAIN_PEOPLE + 1:03d} to {TRAIN_PEOPLE + TEST_PEOPLE:03d}",
        "network": f"GaitSet, channels {', '.join(map(str, CHANNELS))}, embedding 62 x {EMBEDDING}",
        "training": f"{SETTINGS.iterations} iterations of {SETTINGS.batch.people} x {SETTINGS.batch.clips} clips of "
        f"{SETTINGS.batch.sampling.frames} frames, batch-all triplet loss, Adam",
        "quantization": f"w8a8, calibrated on {CALIBRATION} sequences of the training people, not trained",
        "rank-1 of the float network on the test people": said,
        "rank-1 of the quantized network on the test people": quantized,
        "versions": f"qgait {__version__}, torch {torch.__version__}, numpy {np.__version__}",
    }
    (work / "gaitset_walkers.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work_folder", type=Path)
    main(parser.parse_args().work_folder)
