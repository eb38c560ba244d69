"""A training run from its configuration: the data, the network, what is said of it and what stays in the folder."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qgait.errors import QgaitError
from qgait.files import require_space
from qgait.interrupts import Stopped
from qgait.progress import Progress
from qgait.training.packed_silhouettes import open_silhouettes
from qgait.training.run_summary import Trained, beginning, people_of, result

if TYPE_CHECKING:
    from qgait.data.opengait import Dataset
    from qgait.models.backbone import Backbone
    from qgait.training.configuration import Configuration
    from qgait.training.evaluation import Compile, Evaluation


@dataclass(frozen=True)
class Listener:
    """Who is told of a run: ``say`` what is trained and what came out, ``note`` what is not as it was asked for.

    ``bars()`` shows progress as long as it is open.
    """

    say: Callable[[str], None]
    note: Callable[[str], None]
    bars: Callable[[], AbstractContextManager[Progress]]


def run(
    configuration: Configuration, out: Path, resume: bool, listener: Listener, compile: Compile | None = None
) -> Trained | None:
    """Trains, and says what it trains and what came out; of several processes the first one alone, others give None.

    ``compile`` makes evaluation quick, see ``Evaluation``.
    """
    from qgait.data.opengait import Dataset
    from qgait.training.configuration import CONFIG
    from qgait.training.distributed import from_first, rank
    from qgait.training.evaluation import open_evaluation
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
    test = open_evaluation(configuration, dataset, compile)
    network = _network(configuration, people_of(dataset.train), goes_on, listener.note)
    arguments = _arguments(configuration, network, listener.note)
    configuration = dataclasses.replace(configuration, arguments=arguments)
    if goes_on:
        from_first(lambda: _check(configuration, saved, network))
    if rank() == 0:
        # weights and two moments of each, beside those of the checkpoint before
        require_space(out, 6 * 4 * sum(weight.numel() for weight in network.parameters()), str(out))
        configuration.write(out / CONFIG)
        for line in beginning(configuration, dataset, network, test):
            listener.say(line)
        if resume and not goes_on:
            listener.say("Nothing was saved yet: it begins again.")
    try:
        with listener.bars() as progress:
            cache = open_silhouettes(configuration, dataset, out, progress)
        trained = _train(configuration, dataset, network, test, out, resume=goes_on, cache=cache)
    except Stopped as stop:
        raise Stopped(_how_to_go_on(out, saved, stop) if rank() == 0 else "") from None
    if rank() != 0:
        return None
    for line in result(trained, test):
        listener.say(line)
    return trained


def _how_to_go_on(out: Path, saved: Path, stop: Stopped) -> str:
    """``stop`` has the iterations in the checkpoint ``saved``, if the loop was stopped."""
    where = "begins again"
    if saved.exists():
        where = f"goes on from iteration {stop.args[0]}" if stop.args else "goes on from the last checkpoint"
    return f"Stopped. `qgait train --resume --out {shlex.quote(str(out))}` {where}."


def _train(
    configuration: Configuration,
    dataset: Dataset,
    network: Backbone,
    test: Evaluation | None,
    out: Path,
    **common: Any,
) -> Trained:
    figures: dict[str, float] = {}

    def evaluate(model: Any) -> dict[str, float]:
        assert test is not None
        figures.update(test(model))
        return dict(figures)

    common |= {"device": configuration.device, "evaluate": None if test is None else evaluate}
    people = people_of(dataset.train)
    if configuration.bits is None:
        from qgait.training.loop import CHECKPOINT, train

        losses = train(network, dataset.train, configuration.settings, out, **common)
        return Trained(network.name, None, out / CHECKPOINT, len(losses), people, losses[-1], figures)
    from qgait.quantizers.grid import Recipe
    from qgait.training.quantized import MODEL, train_quantized

    recipe = Recipe.parse(configuration.bits)
    result = train_quantized(network, dataset.train, recipe, configuration.quantized, out, **common)
    pairs = {"calibrated": result.before, "trained": result.after}
    iterations, last = len(result.losses), result.losses[-1]
    return Trained(network.name, str(recipe), out / MODEL, iterations, people, last, figures, pairs, result.kept)


def _check_device(device: str) -> None:
    import torch

    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise QgaitError(f"There is no device called {device!r}.", "use cpu or cuda.")
    if device != "cpu" and not torch.cuda.is_available():
        raise QgaitError("Torch finds no CUDA device.", "use `device=cpu`, or install torch for CUDA.")


def _network(configuration: Configuration, people: int, goes_on: bool, note: Callable[[str], None]) -> Backbone:
    """What training starts from: fresh, or from ``init``; a run that goes on has its weights in its checkpoint."""
    import torch

    from qgait.models import checkpoint
    from qgait.models.registry import build

    torch.manual_seed(configuration.settings.seed)
    quantized = configuration.bits is not None
    if configuration.init is not None and (quantized or not goes_on):
        classifies = quantized and configuration.quantized.classifies
        network = checkpoint.load(configuration.init, configuration.model, classifier=classifies)
    else:
        network = build(configuration.model, **configuration.arguments)
    if network.classifier is not None and not quantized:
        network.new_classifier(people)
    if quantized and configuration.quantized.classifies and network.classifier is not None and network.head() is None:
        note(f"{configuration.init} has no classifier: there is no cross-entropy.")
    return network


def _arguments(configuration: Configuration, network: Backbone, note: Callable[[str], None]) -> dict[str, Any]:
    """The constructor's arguments that ``network`` has; those of a checkpoint are its own, and that is said."""
    from qgait.models.identify import config_of

    asked = dict(configuration.arguments)
    found = config_of(Path(configuration.init or network.name), network.name, network.state_dict())
    for name in asked:
        if asked[name] != found.get(name, asked[name]):
            note(f"{configuration.init} has {name} {found[name]}, not {asked[name]}, and so has this run.")
    return asked | found


def _check(configuration: Configuration, saved: Path, network: Backbone) -> None:
    """QgaitError unless the run whose checkpoint is ``saved`` can go on like this."""
    from qgait.quantizers.grid import Recipe
    from qgait.training import quantized_checkpoint
    from qgait.training.run_state import restoring
    from qgait.training.start import check_settings, read_run

    if configuration.bits is None:
        training = read_run(saved, "training", "float training")["training"]
        with restoring(saved):
            check_settings(saved, training["settings"], configuration.settings)
    else:
        recipe, mark = Recipe.parse(configuration.bits), quantized_checkpoint.fingerprint(network)
        quantized_checkpoint.read(saved, recipe, configuration.quantized, mark)
