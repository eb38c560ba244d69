"""How the model in the package was made: a small GaitSet trained on synthetic walkers, on the CPU.

    python benchmarks/train_shipped_model.py WORK_FOLDER

Draws 80 people for training and 20 for the test, trains, and prints rank-1 by CASIA-B's protocol on the 20 people it
never saw. WORK_FOLDER gets walkers/, run/ (resumed when the command is repeated) and gaitset_float.pt. Then

    qgait calibrate --model gaitset --checkpoint WORK_FOLDER/gaitset_float.pt --data WORK_FOLDER/walkers ...

makes the integers. Everything is drawn from fixed seeds; another processor or number of threads changes the
last digits of the weights all the same.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from qgait.data.opengait import Dataset
from qgait.data.opengait import Sequence as Walk
from qgait.data.walkers.dataset import synthesize
from qgait.evaluation.protocols import evaluate
from qgait.models.checkpoint import save
from qgait.models.embedding import embed_clip
from qgait.models.layers import Backbone
from qgait.models.registry import build
from qgait.training.loop import CHECKPOINT, Settings, train

SEED, TRAIN_PEOPLE, TEST_PEOPLE, MEAN_FRAMES = 1, 80, 20, 30
CHANNELS, EMBEDDING = (16, 16, 32), 64
SETTINGS = Settings(
    iterations=4000,
    people=6,
    clips=4,
    frames=6,
    optimizer="adam",
    learning_rate=1e-3,
    weight_decay=0.0,
    milestones=(2600, 3500),
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


def rank1(model: Backbone, walks: list[Walk]) -> str:
    """Rank-1 for nm, bg and cl, in percent."""
    embeddings = np.stack([embed_clip(model, walk.load()) for walk in walks])
    figures = evaluate("casia-b", embeddings, walks)["rank1"]
    return ", ".join(f"{condition} {figure:.1f}" for condition, figure in figures.items())


def main(work: Path) -> None:
    """Draw, train, save, test."""
    torch.set_num_threads(1)
    walks = draw_walkers(work / "walkers").sequences
    known = [walk for walk in walks if int(walk.subject) <= TRAIN_PEOPLE]
    new = [walk for walk in walks if int(walk.subject) > TRAIN_PEOPLE]
    torch.manual_seed(SEED)
    model = build("gaitset", channels=CHANNELS, embedding=EMBEDDING)
    train(model, known, SETTINGS, work / "run", resume=(work / "run" / CHECKPOINT).exists())
    save(model, work / "gaitset_float.pt")
    print(f"{len(new)} walks of {TEST_PEOPLE} people never seen: rank-1 {rank1(model, new)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
