"""What each idea of quantized training is worth: one float network, many ways to bring it to few bits.

    python benchmarks/quantization_training.py WORK_FOLDER --checkpoint FLOAT.pt --data FOLDER --bits w4a4 w2a2

Every method starts from the same float checkpoint and the same calibration, and trains on the same batches for the same
number of iterations, or for as many minutes; only the gradient of rounding, the guidance and what is learned from
differ. Prints rank-1 NM / BG / CL by CASIA-B's protocol of the integers compiled for this machine, on all frames of the
people --from to --to; how far the embeddings of held-out walks were from the float network's before and after training;
and how many codes of a few sequences are others at the fake level. WORK_FOLDER/table.json gets the same. A run that was
stopped is resumed when the command is repeated. Without --checkpoint and --data a tiny GaitSet is first trained on a
few synthetic walkers: enough to see that everything works, not to compare methods.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from result_table import Table

from qgait.calibration.calibrate import calibrate
from qgait.data.frames import FrameSampling
from qgait.data.opengait import Dataset, Sequence
from qgait.data.selection import load_clips, spread
from qgait.data.silhouette_cache import SilhouetteCache
from qgait.data.walkers.dataset import synthesize
from qgait.errors import QgaitError
from qgait.evaluation.protocols import evaluate
from qgait.models import checkpoint
from qgait.models.backbone import Backbone, describe
from qgait.models.embedding import embed_clip
from qgait.models.registry import build
from qgait.models.series import WINDOWS
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.training.loop import CHECKPOINT, train
from qgait.training.quantized import train_quantized
from qgait.training.quantized_checkpoint import CHECKPOINT as QUANTIZED
from qgait.training.settings import (
    BatchSettings,
    Distillation,
    Guidance,
    OptimizerSettings,
    QuantizedSettings,
    Schedule,
    Settings,
    Stage,
    Stages,
    SurrogateKind,
)
from qgait.verification.host_integers import compiled_for_host

AT_ONCE = 64


@dataclass(frozen=True)
class Method:
    """Surrogates of the two stages, the weight of the guidance, and whether labels are what is learned from."""

    first: SurrogateKind = "straight"
    second: SurrogateKind | None = None
    guidance: float = 0.0
    labels: bool = False


RIVALS: dict[str, Method] = {
    "LSQ": Method(),
    "DSQ": Method("dsq"),
    "EWGS": Method("ewgs"),
    "PACT": Method("pact"),
    "soft from the start": Method("soft"),
    "two stages": Method("straight", "soft"),
}
METHODS = (
    RIVALS
    | {f"{name}, IDC": replace(method, guidance=1.0) for name, method in RIVALS.items()}
    | {f"{name}, labels": replace(method, labels=True) for name, method in RIVALS.items()}
    | {f"{name}, labels, IDC": replace(method, labels=True, guidance=1.0) for name, method in RIVALS.items()}
)
CALIBRATION = "PTQ"


def main() -> None:
    """Reads the command line, trains what is missing and prints the table."""
    options = _options()
    torch.set_num_threads(options.threads)
    if options.data is None:
        model, dataset = _tiny(options.folder, options.seeds[0])
        options.first, options.last = "009", "012"
    else:
        if options.checkpoint is None:
            raise QgaitError("There is no float network to begin with.", "name its checkpoint with --checkpoint.")
        model = checkpoint.load(options.checkpoint, classifier=True)
        dataset = Dataset.open(options.data, options.partition)
    cache = SilhouetteCache.open(dataset.sequences, options.folder)
    test = [s for s in dataset.sequences if options.first <= s.subject <= options.last]
    table = Table(options.folder / "table.json", ("people", "bits", "method", "seed"))
    people = f"{options.first}-{options.last}"
    if options.float and not table.has(people, "float", "float", 0):
        embeddings = np.stack([embed_clip(model, cache.clip(s)) for s in test])
        table.add((people, "float", "float", 0), _rank1(embeddings, test))
    for seed in options.seeds:
        for bits in options.bits:
            for method in options.methods:
                key = (people, bits, method, seed)
                if (method != CALIBRATION or seed == options.seeds[0]) and not table.has(*key):
                    network, facts = _trained(model, dataset, cache, bits, method, seed, options)
                    table.add(key, _tested(network, test, cache, options) | facts)


def _trained(
    model: Backbone,
    dataset: Dataset,
    cache: SilhouetteCache,
    bits: str,
    method: str,
    seed: int,
    options: argparse.Namespace,
) -> tuple[SimulatedNetwork, dict[str, Any]]:
    settings = _settings(METHODS.get(method, Method()), seed, _sees_neighbours(model), options)
    recipe = replace(Recipe.parse(bits), first_last=options.first_last)
    if method == CALIBRATION:  # what every other method starts from
        clips = load_clips(spread(dataset.train, settings.calibration_clips))
        return calibrate(model.name, describe(model), clips, recipe)[0], {}
    out = options.folder / f"{bits}-{method.replace(', ', '-').replace(' ', '-')}-{seed}".lower()
    resume = (out / QUANTIZED).exists()
    result = train_quantized(model, dataset.train, recipe, settings, out, resume=resume, cache=cache)
    kept = result.kept
    errors = {} if kept is None else {"start": kept.start, "end": kept.end, "kept": kept.error, "at": kept.iteration}
    facts = {name: round(value, 4) for name, value in errors.items()}
    correlations = [round(result.before[1], 3), round(result.after[1], 3)]
    facts |= {"iterations": len(result.losses), "distances correlate (Spearman)": correlations}
    return result.network.cpu(), facts


def _tested(
    network: SimulatedNetwork, test: list[Sequence], cache: SilhouetteCache, options: argparse.Namespace
) -> dict[str, Any]:
    """Rank-1 of the integers, and how many of the first sequences' codes the fake level gives others."""
    with compiled_for_host(network, options.threads) as embed:
        parts = [test[start : start + AT_ONCE] for start in range(0, len(test), AT_ONCE)]
        embeddings = np.concatenate([embed([cache.clip(s) for s in part]) for part in parts])
    compared = test[:: max(1, len(test) // options.compared)]
    step = network.embedding_step().detach().numpy().astype(np.float32)[:, None]
    zero = network.grid(network.layers[-1].name).zero_point
    places = [test.index(s) for s in compared]
    fake = np.stack([(network.embed(cache.clip(s)).astype(np.float32) - zero) * step for s in compared])
    return _rank1(embeddings, test) | {
        "codes": int(fake.size),
        "codes that differ": int((fake != embeddings[places]).sum()),
    }


def _rank1(embeddings: np.ndarray, test: list[Sequence]) -> dict[str, Any]:
    figures: dict[str, Any] = evaluate("casia-b", embeddings, test)["rank1"]
    return {condition: round(float(figure), 2) for condition, figure in figures.items()}


def _sees_neighbours(model: Backbone) -> bool:
    """Whether the network looks along time: frames are then those next to each other."""
    return any(layer.kind in WINDOWS for layer in describe(model.eval()))


def _settings(method: Method, seed: int, neighbours: bool, options: argparse.Namespace) -> QuantizedSettings:
    second = options.iterations // 3 if method.second is not None else 0
    rate, schedule = options.learning_rate, Schedule("cosine", warmup=0.02)
    sharpness = (4.0, 4.0) if method.first == "soft" else (1.0, 4.0)
    sampling = FrameSampling(order="ordered" if neighbours else "unordered", frames=options.frames)
    return QuantizedSettings(
        stages=Stages(
            Stage(options.iterations - second, rate, schedule, method.first, sharpness),
            Stage(second, rate * options.second_rate, schedule, method.second or method.first, sharpness),
        ),
        batch=BatchSettings(options.people, options.clips, sampling),
        minutes=options.minutes,
        labels=float(method.labels),
        distillation=Distillation(0.0, 0.0) if method.labels else Distillation(),
        guidance=Guidance(weight=method.guidance * options.guidance),
        validation_clips=0 if method.labels else 48,
        precision=options.precision,
        seed=seed,
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
    parser.add_argument("--partition", default="casia-b")
    parser.add_argument("--bits", nargs="+", default=["w4a4"])
    parser.add_argument("--methods", nargs="+", default=[CALIBRATION, "LSQ"], choices=[CALIBRATION, *METHODS])
    parser.add_argument("--first-last", default="8", choices=["8", "same"])
    parser.add_argument("--iterations", type=int, default=36)
    parser.add_argument("--minutes", type=float, help="the same for every method; --iterations then shape the schedule")
    parser.add_argument("--learning-rate", type=float, default=0.003, help="relative, of stage 1")
    parser.add_argument("--second-rate", type=float, default=0.1, help="stage 2's, as a share of stage 1's")
    parser.add_argument("--guidance", type=float, default=1.0, help="the weight of IDC")
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--from", dest="first", default="075", help="the first person who is tested")
    parser.add_argument("--to", dest="last", default="099", help="the last one")
    parser.add_argument("--compared", type=int, default=8, help="sequences of which the fake level is computed too")
    parser.add_argument("--float", action="store_true", help="the float network too, by torch")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
