"""What each idea of quantized training is worth: one float network, many ways to bring it to few bits.

    python benchmarks/quantization_training.py WORK_FOLDER --checkpoint FLOAT.pt --data FOLDER --bits w4a4 w3a3 w2a2

Every method starts from the same float checkpoint and the same calibration, and trains on the same batches for the same
number of iterations with the same learning rates; only the gradient of rounding and the guidance differ. Prints rank-1
NM / BG / CL on the test people by CASIA-B's protocol, of the simulated network and of the exported integers in ONNX
Runtime, and how many embedding codes differ between the two; WORK_FOLDER/table.json gets the same. Networks that look
along time are trained and tested on frames next to each other (those in the middle of a walk at test), all others on
frames from the whole walk. A run that was stopped is resumed when the command is repeated. Without --checkpoint and
--data a tiny GaitSet is first trained on a few synthetic walkers: enough to see that everything works, not to compare
methods.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from result_table import Table
from walks_at_test import WalksAtTest

from qgait.calibration.calibrate import calibrate
from qgait.data.frames import FrameSampling
from qgait.data.opengait import Dataset
from qgait.data.selection import load_clips, spread
from qgait.data.walkers.dataset import synthesize
from qgait.errors import QgaitError
from qgait.models import checkpoint
from qgait.models.backbone import Backbone, describe
from qgait.models.registry import build
from qgait.models.series import WINDOWS
from qgait.quantizers.grid import Recipe
from qgait.training.loop import CHECKPOINT, train
from qgait.training.quantized import train_quantized
from qgait.training.quantized_checkpoint import CHECKPOINT as QUANTIZED
from qgait.training.settings import (
    BatchSettings,
    Guidance,
    OptimizerSettings,
    QuantizedSettings,
    Schedule,
    Settings,
    Stage,
    Stages,
    SurrogateKind,
)

# name: (surrogate of stage 1, surrogate of stage 2, guidance)
METHODS: dict[str, tuple[SurrogateKind, SurrogateKind, float]] = {
    "LSQ": ("straight", "straight", 0.0),
    "LSQ, IDC": ("straight", "straight", 1.0),
    "DSQ": ("dsq", "dsq", 0.0),
    "PACT": ("pact", "pact", 0.0),
    "EWGS": ("ewgs", "ewgs", 0.0),
    "soft from the start": ("soft", "soft", 0.0),
    "two stages": ("straight", "soft", 0.0),
    "two stages, IDC": ("straight", "soft", 1.0),
}
CALIBRATION = "PTQ"


def main() -> None:
    """Reads the command line, trains what is missing and prints the table."""
    options = _options()
    torch.set_num_threads(options.threads)
    if options.data is None:
        model, dataset = _tiny(options.folder, options.seeds[0])
    else:
        if options.checkpoint is None:
            raise QgaitError("There is no float network to begin with.", "name its checkpoint with --checkpoint.")
        model = checkpoint.load(options.checkpoint, classifier=True)
        dataset = Dataset.open(options.data, options.partition)
    test = WalksAtTest(dataset.test, options.test_people, options.test_frames, _sees_neighbours(model))
    table = Table(options.folder / "table.json", ("bits", "method", "seed"))
    if not table.has("float", "float", 0):
        table.add(("float", "float", 0), test.of_float(model))
    for seed in options.seeds:
        for bits in options.bits:
            for method in options.methods:
                if (method != CALIBRATION or seed == options.seeds[0]) and not table.has(bits, method, seed):
                    table.add((bits, method, seed), _run(model, dataset, test, bits, method, seed, options))


def _run(
    model: Backbone,
    dataset: Dataset,
    test: WalksAtTest,
    bits: str,
    method: str,
    seed: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    settings = _settings(method, seed, _sees_neighbours(model), options)
    if method == CALIBRATION:  # what every other method starts from
        clips = load_clips(spread(dataset.train, settings.calibration_clips))
        network, _ = calibrate(model.name, describe(model), clips, Recipe.parse(bits))
        return test.of_levels(network, options.int_people, options.float64_people)
    out = options.folder / f"{bits}-{method.replace(', ', '-').replace(' ', '-')}-{seed}".lower()
    result = train_quantized(
        model,
        dataset.train,
        Recipe.parse(bits),
        settings,
        out,
        device=options.device,
        resume=(out / QUANTIZED).exists(),
    )
    return test.of_levels(result.network.cpu(), options.int_people, options.float64_people) | {
        "loss": round(float(np.mean(result.losses[-20:])), 4),
        "distances correlate (Spearman)": [round(result.before[1], 3), round(result.after[1], 3)],
    }


def _sees_neighbours(model: Backbone) -> bool:
    """Whether the network looks along time: frames are then those next to each other."""
    return any(layer.kind in WINDOWS for layer in describe(model.eval()))


def _settings(method: str, seed: int, neighbours: bool, options: argparse.Namespace) -> QuantizedSettings:
    first, second, guidance = METHODS.get(method, METHODS["LSQ"])
    iterations, rate = options.iterations, options.learning_rate
    kind, decay = options.optimizer, options.weight_decay
    soft = (1.0, 4.0) if first != "soft" else (4.0, 4.0)
    sampling = FrameSampling(order="ordered" if neighbours else "unordered", frames=options.frames)
    return QuantizedSettings(
        stages=Stages(
            Stage(
                iterations - iterations // 3,
                OptimizerSettings(kind, rate, weight_decay=decay),
                Schedule(milestones=(0.5, 0.75)),
                first,
            ),
            Stage(
                iterations // 3,
                OptimizerSettings(kind, rate / 10, weight_decay=decay),
                Schedule(milestones=(2 / 3,)),
                second,
                soft,
            ),
        ),
        batch=BatchSettings(options.people, options.clips, sampling),
        guidance=Guidance(weight=guidance),
        precision=options.precision,
        seed=seed,
        save_every=max(iterations // 4, 1),
    )


def _tiny(folder: Path, seed: int) -> tuple[Backbone, Dataset]:
    """A GaitSet of (8, 8, 12) channels after 60 iterations on eight walkers; four more are for the test."""
    walkers = folder / "walkers"
    synthesize(walkers, 12, seed, 16, views=(36, 90, 144))
    partition = folder / "partition.json"
    names = [f"{subject:03}" for subject in range(1, 13)]
    partition.write_text(json.dumps({"TRAIN_SET": names[:8], "TEST_SET": names[8:]}))
    dataset = Dataset.open(walkers, str(partition))
    torch.manual_seed(seed)
    model = build("gaitset", channels=(8, 8, 12), embedding=16)
    settings = Settings(
        iterations=60,
        batch=BatchSettings(4, 4, FrameSampling(frames=6)),
        optimizer=OptimizerSettings("adam", 3e-3),
        schedule=Schedule(milestones=(45,)),
        seed=seed,
    )
    train(model, dataset.train, settings, folder / "float", resume=(folder / "float" / CHECKPOINT).exists())
    return model, dataset


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--partition")
    parser.add_argument("--bits", nargs="+", default=["w4a4"])
    parser.add_argument("--methods", nargs="+", default=[CALIBRATION, *METHODS], choices=[CALIBRATION, *METHODS])
    parser.add_argument("--iterations", type=int, default=36)
    parser.add_argument("--optimizer", default="sgd", choices=["sgd", "adam"])
    parser.add_argument("--learning-rate", type=float, default=0.01, help="of stage 1; stage 2 has a tenth")
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--test-people", type=int, help="only so many of the test people")
    parser.add_argument("--int-people", type=int, help="the int level on only so many of them")
    parser.add_argument(
        "--float64-people",
        type=int,
        default=0,
        help="the fake level in float64, compared with int, on so many of those",
    )
    parser.add_argument("--test-frames", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
