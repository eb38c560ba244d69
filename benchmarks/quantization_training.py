"""What each idea of quantized training is worth: one float network, many ways to bring it to few bits.

    python benchmarks/quantization_training.py WORK_FOLDER --checkpoint FLOAT.pt --data FOLDER --bits w4a4 w3a3 w2a2

Every method starts from the same float checkpoint and the same calibration, and trains on the same batches for the same
number of iterations with the same learning rates; only the gradient of rounding and the guidance differ. Prints rank-1
NM / BG / CL on the test people by CASIA-B's protocol, and writes it to WORK_FOLDER/table.json. Each training is a run
that is resumed when the command is repeated. Without --checkpoint and --data a tiny GaitSet is first trained on a few
synthetic walkers: enough to see that everything works, not to compare methods.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qgait.calibration.calibrate import calibrate
from qgait.data.opengait import Dataset
from qgait.data.opengait import Sequence as Walk
from qgait.data.selection import load_clips, spread
from qgait.data.walkers.dataset import synthesize
from qgait.errors import QgaitError
from qgait.evaluation.protocols import evaluate
from qgait.models import checkpoint
from qgait.models.backbone import Backbone, describe
from qgait.models.embedding import embed_clip
from qgait.models.registry import build
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.training.loop import CHECKPOINT, Settings, train
from qgait.training.quantized import train_quantized
from qgait.training.quantized_checkpoint import CHECKPOINT as QUANTIZED
from qgait.training.stages import Kind, QuantizedSettings

# name: (surrogate of stage 1, surrogate of stage 2, guidance)
METHODS: dict[str, tuple[Kind, Kind, float]] = {
    "LSQ": ("straight", "straight", 0.0),
    "LSQ, IDC": ("straight", "straight", 1.0),
    "DSQ": ("dsq", "dsq", 0.0),
    "PACT": ("pact", "pact", 0.0),
    "EWGS": ("ewgs", "ewgs", 0.0),
    "soft from the start": ("soft", "soft", 0.0),
    "two stages": ("straight", "soft", 0.0),
    "two stages, IDC": ("straight", "soft", 1.0),
}


def main() -> None:
    """Reads the command line, trains what is missing and prints the table."""
    options = _options()
    folder: Path = options.folder
    torch.set_num_threads(options.threads)
    if options.data is None:
        model, dataset = _tiny(folder, options.seeds[0])
    else:
        if options.checkpoint is None:
            raise QgaitError("There is no float network to begin with.", "name its checkpoint with --checkpoint.")
        model = checkpoint.load(options.checkpoint, classifier=True)
        dataset = Dataset.open(options.data, options.partition)
    third = options.iterations // 3
    settings = QuantizedSettings(
        iterations=(options.iterations - third, third),
        learning_rates=(options.learning_rate, options.learning_rate / 10),
        people=options.people,
        clips=options.clips,
        frames=options.frames,
        save_every=max(options.iterations // 4, 1),
    )
    rows: list[dict[str, Any]] = []
    _add(rows, folder, {"bits": "float", "method": "float"} | _rank1(model, dataset.test, options.test_frames))
    for bits in options.bits:
        for method in options.methods:
            for seed in options.seeds:
                row = _run(model, dataset, bits, method, replace(settings, seed=seed), options)
                _add(rows, folder, {"bits": bits, "method": method, "seed": seed} | row)


def _run(
    model: Backbone, dataset: Dataset, bits: str, method: str, settings: QuantizedSettings, options: argparse.Namespace
) -> dict[str, Any]:
    if method == "PTQ":  # what every other method starts from
        clips = load_clips(spread(dataset.train, settings.calibration_clips))
        network, _ = calibrate(model.name, describe(model), clips, Recipe.parse(bits))
        return _rank1(network, dataset.test, options.test_frames)
    first, second, guidance = METHODS[method]
    settings = replace(settings, surrogates=(first, second), guidance=guidance)
    out = options.folder / f"{bits}-{method.replace(', ', '-').replace(' ', '-')}-{settings.seed}".lower()
    started = time.monotonic()
    result = train_quantized(
        model,
        dataset.train,
        Recipe.parse(bits),
        settings,
        out,
        device=options.device,
        resume=(out / QUANTIZED).exists(),
    )
    return _rank1(result.network, dataset.test, options.test_frames) | {
        "loss": float(np.mean(result.losses[-10:])),
        "correlation": result.after[1],
        "seconds": time.monotonic() - started,
    }


def _rank1(network: Backbone | SimulatedNetwork, walks: list[Walk], frames: int | None) -> dict[str, Any]:
    """Rank-1 in percent by condition, of float embeddings or of the simulation's levels in real units."""
    embeddings = []
    for walk in walks:
        (clip,) = load_clips([walk], frames=frames)
        if isinstance(network, SimulatedNetwork):
            grid = network.grid(network.layers[-1].name)
            levels = network.embed(clip).astype(np.float32) - grid.zero_point
            embeddings.append(levels * network.embedding_step().detach().numpy().astype(np.float32)[:, None])
        else:
            embeddings.append(embed_clip(network, clip))
    result: dict[str, Any] = evaluate("casia-b", np.stack(embeddings), walks)
    return {condition: float(result["rank1"][condition]) for condition in result["rank1"]}


def _add(rows: list[dict[str, Any]], folder: Path, row: dict[str, Any]) -> None:
    rows.append(row)
    print(
        "  ".join(f"{value:8.3f}" if isinstance(value, float) else f"{value!s:20}" for value in row.values()),
        flush=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.json").write_text(json.dumps(rows, indent=1))


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
    path = folder / "float" / CHECKPOINT
    settings = Settings(
        iterations=60, people=4, clips=4, frames=6, optimizer="adam", learning_rate=3e-3, milestones=(45,), seed=seed
    )
    train(model, dataset.train, settings, folder / "float", resume=path.exists())
    return model, dataset


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--partition")
    parser.add_argument("--bits", nargs="+", default=["w4a4"])
    parser.add_argument("--methods", nargs="+", default=["PTQ", *METHODS], choices=["PTQ", *METHODS])
    parser.add_argument("--iterations", type=int, default=36)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--test-frames", type=int, help="only the first frames of every test sequence")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
