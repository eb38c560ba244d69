"""A training run from its configuration: the data, the network, what is printed and what stays in the folder."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qgait.commands.output import notes
from qgait.errors import QgaitError
from qgait.training.people_at_test import open_evaluation
from qgait.training.run_silhouettes import open_silhouettes

if TYPE_CHECKING:
    from qgait.data.opengait import Dataset
    from qgait.models.backbone import Backbone
    from qgait.training.configuration import Configuration
    from qgait.training.evaluation import Evaluation


def run(configuration: Configuration, out: Path, resume: bool) -> Iterator[str]:
    """Trains, and says what it trains and what came out; of several processes the first one alone."""
    from qgait.data.opengait import Dataset
    from qgait.training.configuration import CONFIG
    from qgait.training.distributed import from_first, rank
    from qgait.training.loop import CHECKPOINT
    from qgait.training.quantized_checkpoint import CHECKPOINT as QUANTIZED
    from qgait.training.start import check_new

    _check_device(configuration.device)
    saved = out / (CHECKPOINT if configuration.bits is None else QUANTIZED)

    def looked() -> bool:
        if not resume:
            check_new(out / CHECKPOINT)
            check_new(out / QUANTIZED)
        return resume and saved.exists()

    goes_on = from_first(looked)  # others may not see the folder
    dataset = Dataset.open(str(configuration.data.path), configuration.data.partition)
    test = open_evaluation(configuration, dataset)
    network = _network(configuration, _people(dataset.train), goes_on)
    configuration = dataclasses.replace(configuration, arguments=_arguments(configuration, network))
    if goes_on:
        from_first(lambda: _check(configuration, saved, network))
    if rank() == 0:
        configuration.write(out / CONFIG)
        yield from _beginning(configuration, dataset, network, test)
        if resume and not goes_on:
            yield "Nothing was saved yet: it begins again."
    said = _train(configuration, dataset, network, test, out, goes_on)
    if rank() == 0:
        yield from said


def _train(
    configuration: Configuration,
    dataset: Dataset,
    network: Backbone,
    test: Evaluation | None,
    out: Path,
    resume: bool,
) -> list[str]:
    """Trains; what came out, in words."""
    figures: dict[str, float] = {}

    def evaluate(model: Any) -> dict[str, float]:
        assert test is not None
        figures.update(test(model))
        return dict(figures)

    common: dict[str, Any] = {
        "device": configuration.device,
        "resume": resume,
        "evaluate": None if test is None else evaluate,
        "cache": open_silhouettes(configuration, dataset, out),
    }
    people = _people(dataset.train)
    if configuration.bits is None:
        from qgait.training.loop import CHECKPOINT, train

        losses = train(network, dataset.train, configuration.settings, out, **common)
        said = [f"{len(losses)} iterations on {people} people, last loss {losses[-1]:.4f}. Wrote {out / CHECKPOINT}."]
    else:
        from qgait.quantizers.grid import Recipe
        from qgait.training.quantized import MODEL, train_quantized

        recipe = Recipe.parse(configuration.bits)
        result = train_quantized(network, dataset.train, recipe, configuration.quantized, out, **common)
        said = [
            f"{network.name} {recipe}: {len(result.losses)} iterations on {people} people, last loss "
            f"{result.losses[-1]:.4f}. Distances between people against the float network's (Pearson, Spearman): "
            f"{_pair(result.before)} calibrated, {_pair(result.after)} trained. Wrote {out / MODEL}."
        ]
    if test is not None and figures:
        percent = ", ".join(f"{name} {value:.2f} %" for name, value in figures.items())
        said.append(f"On {_people(test.sequences)} test people: {percent}.")
    return said


def _beginning(
    configuration: Configuration, dataset: Dataset, network: Backbone, test: Evaluation | None
) -> Iterator[str]:
    """What is going to be trained, before it takes its time."""
    quantized = configuration.bits is not None
    settings = configuration.quantized if quantized else configuration.settings
    widths = ", ".join(str(width) for width in configuration.arguments.get("channels", ()))
    parameters = sum(p.numel() for p in network.parameters())
    origin = f" from {configuration.init}" if configuration.init else ""
    yield f"{network.name}{origin}, channels {widths}: {parameters / 1e6:.2f} M parameters."
    tested = "no test people"
    if test is not None:
        tested = f"test: {len(test.sequences)} sequences of {_people(test.sequences)} people ({test.protocol})"
    yield f"{len(dataset.train)} sequences of {_people(dataset.train)} people; {tested}."
    if configuration.data.binary:
        yield "Silhouettes are thresholded at 128, in training and in the test; qgait eval does so with --binary."
    batch = settings.batch
    sampling = batch.sampling
    frames = {
        "fixed": f"{sampling.frames} frames",
        "unfixed": f"{sampling.frames_min} to {sampling.frames_max} frames",
        "all": f"up to {sampling.limit} frames",
    }[sampling.count]
    length = f"{settings.iterations} iterations"
    if quantized:
        stages = configuration.quantized.stages
        length = f"{configuration.bits}, {stages.first.iterations} + {stages.second.iterations} iterations"
    yield (
        f"{length} of {batch.people} x {batch.clips} clips of {frames}, on {configuration.device} in "
        f"{settings.precision}."
    )


def _check_device(device: str) -> None:
    import torch

    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise QgaitError(f"There is no device called {device!r}.", "use cpu or cuda.")
    if device != "cpu" and not torch.cuda.is_available():
        raise QgaitError("Torch finds no CUDA device.", "use --device cpu, or install torch for CUDA.")


def _network(configuration: Configuration, people: int, goes_on: bool) -> Backbone:
    """What training starts from: fresh, or from --init; a run that goes on has its weights in its checkpoint."""
    import torch

    from qgait.models import checkpoint
    from qgait.models.registry import build

    torch.manual_seed(configuration.settings.seed)
    quantized = configuration.bits is not None
    if configuration.init is not None and (quantized or not goes_on):
        classifies = quantized and configuration.quantized.losses.cross_entropy.weight > 0
        network = checkpoint.load(configuration.init, configuration.model, classifier=classifies)
    else:
        network = build(configuration.model, **configuration.arguments)
    if network.classifier is not None and not quantized:
        network.new_classifier(people)
    if quantized and network.classifier is not None and network.head() is None:
        notes.print(f"{configuration.init} has no classifier: there is no cross-entropy.")
    return network


def _arguments(configuration: Configuration, network: Backbone) -> dict[str, Any]:
    """The constructor's arguments that ``network`` has; those of a checkpoint are its own, and that is said."""
    from qgait.models.identify import config_of

    asked = dict(configuration.arguments)
    found = config_of(Path(configuration.init or network.name), network.name, network.state_dict())
    for name in asked:
        if asked[name] != found.get(name, asked[name]):
            notes.print(f"{configuration.init} has {name} {found[name]}, not {asked[name]}, and so has this run.")
    return asked | found


def _check(configuration: Configuration, saved: Path, network: Backbone) -> None:
    """QgaitError unless the run whose checkpoint is ``saved`` can go on like this."""
    from qgait.quantizers.grid import Recipe
    from qgait.training import quantized_checkpoint
    from qgait.training.start import check_settings, read_run

    if configuration.bits is None:
        begun = read_run(saved, "training", "float training")["training"]["settings"]
        check_settings(saved, begun, configuration.settings)
    else:
        recipe, mark = Recipe.parse(configuration.bits), quantized_checkpoint.fingerprint(network)
        quantized_checkpoint.read(saved, recipe, configuration.quantized, mark)


def _people(sequences: Any) -> int:
    return len({sequence.subject for sequence in sequences})


def _pair(correlation: tuple[float, float]) -> str:
    return f"{correlation[0]:.3f}, {correlation[1]:.3f}"
