"""What the options of a training run ask for, as one configuration.

Later wins: the defaults of a backbone or a configuration file, then options, then those under ``set``. With ``resume``
the run's own file is what the others change.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qgait.errors import QgaitError
from qgait.shown import shown

if TYPE_CHECKING:
    from qgait.training.configuration import Configuration

TYPED = "the command line"
DEFAULT = "casia-b"  # without a configuration: the backbone's on this data set
KEYS = {
    "data": "data.path",
    "partition": "data.partition",
    "protocol": "data.protocol",
    "cache": "data.cache",
    "init": "init",
    "bits": "bits",
    "minutes": "minutes",
    "optimizer": "optimizer.kind",
    "seed": "seed",
    "device": "device",
    "evaluate_every": "evaluate_every",
}
FLOAT_ONLY = ("optimizer", "milestones")  # options; quantized training has Adam and schedules of its own
FLOAT_KEYS = ("iterations", "batch", "optimizer", "schedule", "precision")


def configure(out: Path, options: Mapping[str, Any], note: Callable[[str], None]) -> Configuration:
    """The configuration of a run in ``out``; ``options`` by name, None where they were not given.

    ``note`` is told in a sentence what is not done as it was asked for.
    """
    from qgait.training.configuration import CONFIG, typed
    from qgait.training.distributed import from_first

    given = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in options.items()
        if value is not None and value != () and value is not False
    }
    said = typed(given.pop("set", ()))
    resumes = given.pop("resume", False)
    if resumes:
        if "config" in given:
            raise QgaitError("`config` is for a new run.", f"leave it out; `resume` reads {out / CONFIG}.")
        start = from_first(lambda: _begun(out))
    else:
        start = _start(given, said)
    asked = {name: said.get(name, given.get(name, getattr(start, name))) for name in ("bits", "init")}
    _check_kind(asked, given, said)
    whole = start.changed(_changes(given, asked["bits"] is not None), TYPED).changed(said, TYPED)
    if given.get("model", whole.model) != whole.model:
        problem = f"The configuration is of {whole.model}, not of {given['model']}."
        raise QgaitError(problem, "leave `model` out, or name another configuration.")
    if resumes and (whole.bits, whole.model) != (start.bits, start.model):
        was, now = (f"{c.model} at {c.bits or 'float'}" for c in (start, whole))
        raise QgaitError(
            f"The run in {out} is of {was}, not of {now}.", "give the same `bits` and `model`, or neither."
        )
    if resumes and whole.data.binary != start.data.binary:
        was = "with" if start.data.binary else "without"
        raise QgaitError(f"The run in {out} was begun {was} thresholded silhouettes.", "leave data.binary as it was.")
    if whole.data.path is None:
        raise QgaitError("No data were named.", "name their folder: `data`.")
    whole = _absolute(whole)
    if whole.device == "cpu" and whole.settings.precision == "float16" and "precision" not in {*given, *said}:
        if whole.bits is None and "config" in given:
            note("float16 needs a GPU: this run is in float32.")
        whole = whole.changed({"precision": "float32"}, TYPED)
    return whole


def _begun(out: Path) -> Configuration:
    """That of the run in ``out``, which process 0 alone may see."""
    from qgait.training.configuration import CONFIG, read

    if not (out / CONFIG).is_file():
        raise QgaitError(f"There is no run in {out}.", "check `out`, or leave `resume` out.")
    return read(out / CONFIG)


def _start(given: Mapping[str, Any], said: Mapping[str, Any]) -> Configuration:
    """The configuration that options change."""
    from qgait.models import checkpoint
    from qgait.models.registry import BACKBONES
    from qgait.training.configuration import read

    if "config" in given:
        return read(given["config"])
    init = said.get("init", given.get("init"))
    name = given.get("model", "gaitset")
    model = said.get("model")
    if isinstance(model, Mapping) and "name" in model:
        name = model["name"]
    elif isinstance(init, str):
        name = checkpoint.backbone_of(init)
    if not isinstance(name, str) or name not in BACKBONES:
        raise QgaitError(f"There is no backbone called {shown(name)}.", f"choose one of {', '.join(BACKBONES)}.")
    start = read(f"{name}-{DEFAULT}").changed({"data": {"partition": None}}, TYPED)  # all people, whatever the data
    return start if init is None else dataclasses.replace(start, arguments={})  # the checkpoint's


def _check_kind(asked: Mapping[str, Any], given: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    """Refuses what the kind of training, float or quantized, has no use for."""
    if asked["bits"] is None:
        if "quantized" in said:
            raise QgaitError("The keys of quantized are for training at `bits`.", "leave them out, or give `bits`.")
        return
    if asked["init"] is None:
        raise QgaitError("Training at `bits` starts from a float network.", "name its checkpoint: `init`.")
    for name in FLOAT_ONLY:
        if name in given:
            raise QgaitError(f"`{name}` is for float training.", "leave it out, or leave `bits` out.")
    for key in FLOAT_KEYS:
        if key in said:
            raise QgaitError(f"{key} is for float training.", "set a key of quantized, or leave `bits` out.")


def _changes(given: Mapping[str, Any], quantized: bool) -> dict[str, Any]:
    """What the options other than ``set`` say, as a mapping."""
    from qgait.training.configuration import merged

    found: dict[str, Any] = {}

    def put(key: str, value: Any) -> None:
        nonlocal found
        for name in reversed(key.split(".")):
            value = {name: value}
        found = merged(found, value)

    for option, key in KEYS.items():
        if option in given:
            put(key, given[option])
    batch = "quantized.batch" if quantized else "batch"
    for name in ("people", "clips"):
        if name in given:
            put(f"{batch}.{name}", given[name])
    if "frames" in given:
        put(f"{batch}.sampling", {"count": "fixed", "frames": given["frames"]})
    if "milestones" in given:
        put("schedule", {"kind": "milestones", "milestones": given["milestones"]})
    if "precision" in given:
        put("quantized.precision" if quantized else "precision", given["precision"])
    if "iterations" in given:
        total = given["iterations"]
        if quantized:
            put("quantized.stages.first.iterations", total - total // 3)
            put("quantized.stages.second.iterations", total // 3)
        else:
            put("iterations", total)
    if "learning_rate" in given:
        rate = given["learning_rate"]
        if quantized:
            put("quantized.stages.first.learning_rate", rate)
            put("quantized.stages.second.learning_rate", rate / 10)
        else:
            put("optimizer.learning_rate", rate)
    return found


def _absolute(whole: Configuration) -> Configuration:
    """Paths from the root, so that the run can be resumed from anywhere."""
    from qgait.data.partition import BUILT_IN
    from qgait.training.configuration import OFF

    def path(text: str | None) -> str | None:
        return None if text is None else os.path.realpath(text)  # Path.resolve raises where links loop

    data = whole.data
    partition = data.partition if data.partition in BUILT_IN else path(data.partition)
    cache = data.cache if data.cache == OFF else path(data.cache)
    data = dataclasses.replace(data, path=path(data.path), partition=partition, cache=cache)
    return dataclasses.replace(whole, init=path(whole.init), data=data)
