"""Every backbone, at every bit width, on every runtime: codes that differ from the reference.

    python benchmarks/parity_matrix.py
    python benchmarks/parity_matrix.py hstl gaitgl --published --runtime ort --runtime arm --data FOLDER --frames 6
    python benchmarks/parity_matrix.py --checkpoint RUN/checkpoint.pt --bits w8a8 --data FOLDER

Networks have random weights and an eighth of the published channels, or (``--published``) all of them, or are
checkpoints. Each is calibrated on the sequences that it is then compared on, exported, compiled for every target, and
run on them. One sequence has a single frame and one has two: shorter than some networks take, which then repeat them.
Of ONNX Runtime's four optimization levels the worst counts. Exits with 1 when any code differs, with 2 on wrong use.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exit_code import exit_code

from qgait.calibration.calibrate import FRAMES, calibrate
from qgait.commands.output import progress, table, write_json
from qgait.errors import ParityError, QgaitError
from qgait.export.folding import fold
from qgait.export.onnx.exported import write_file
from qgait.models import checkpoint
from qgait.models.backbone import Backbone, describe
from qgait.models.hstl import REGIONS
from qgait.models.registry import BACKBONES, build
from qgait.quantizers.grid import Recipe
from qgait.verification.by_name import check_names, one_of_each_kind
from qgait.verification.parity import Clip, worst
from qgait.verification.verify import verify

BITS = ("w8a8", "w4a4")
NARROWER, LEAST = 8, 4  # the published channels divided by the first, but no fewer than the second


def networks(arguments: argparse.Namespace) -> Iterator[tuple[str, Backbone]]:
    """(label, network in eval mode) of all that are asked for."""
    for path in arguments.checkpoint:
        model = checkpoint.load(path)
        yield f"{model.name} {path.parent.name}/{path.name}", model
    for name in arguments.backbones or ([] if arguments.checkpoint else list(BACKBONES)):
        for variant in BACKBONES[name].variants if arguments.variants else ({},):
            torch.manual_seed(0)
            model = build(name, **(variant if arguments.published else narrow(name, variant)))
            yield " ".join([name, *(_word(key, value) for key, value in variant.items())]), model.eval()


def _word(key: str, value: Any) -> str:
    if key == "regions":
        value = next(name for name, regions in REGIONS.items() if regions == value)
    return f"{key}={'-'.join(map(str, value)) if isinstance(value, tuple) else value}"


def narrow(name: str, variant: dict[str, Any]) -> dict[str, Any]:
    """The constructor's arguments of a ``variant`` with few channels."""
    channels = variant.get("channels", inspect.signature(BACKBONES[name]).parameters["channels"].default)
    return {**variant, "channels": tuple(max(count // NARROWER, LEAST) for count in channels)}


def sequences(data: Path | None, count: int, frames: int) -> list[Clip]:
    """``count`` sequences of ``frames`` frames, of a data set or of synthetic walkers; two of them are shorter."""
    if data is not None:
        from qgait.data.opengait import Dataset
        from qgait.data.selection import load_clips, spread

        clips = load_clips(spread(Dataset.open(data).sequences, count), None, frames)
        if len(clips) < count:
            raise QgaitError(f"{data} has {len(clips)} sequences, not {count}.", "give more, or ask for fewer.")
    else:
        from qgait.data.walkers.dataset import sequence

        walks = [sequence(0, i + 1, ("nm-01", "bg-01", "cl-01")[i % 3], 18 * (i % 11), frames) for i in range(count)]
        clips = [np.ascontiguousarray(walk[:, :, 10:-10]) for walk in walks]
    return [*clips[:-2], clips[-2][:2], clips[-1][:1]]


def differing(model: Backbone, bits: str, clips: list[Clip], runtimes: list[str]) -> dict[str, int]:
    """What differs by runtime, in codes and real numbers; ``codes`` were compared.

    Before them simulated quantization in float64, and ``constants`` of the ONNX file against a fresh fold.
    """
    long = [np.resize(clip, (max(len(clip), FRAMES), *clip.shape[1:])) for clip in clips]
    network, _ = calibrate(model.name, describe(model), long, Recipe.parse(bits))
    graph = fold(network)
    with tempfile.TemporaryDirectory() as folder, progress() as report:
        onnx = Path(folder) / "model.onnx"
        write_file(graph, onnx)
        parity = verify(graph, network, clips, runtimes, onnx, report)
    for label, result in parity.runtimes.items():
        if result.mismatches:
            print(f"{label}: the first layer that differs is {result.first_layer}", file=sys.stderr)
    assert parity.fake is not None
    for difference in parity.file:
        print(f"the ONNX file: {difference}", file=sys.stderr)
    counts = {name: result.mismatches + result.real_mismatches for name, result in worst(parity.runtimes).items()}
    return {
        "codes": parity.codes,
        "fake, float64": parity.fake.mismatches_float64,
        "constants": len(parity.file),
        **counts,
    }


def main(arguments: argparse.Namespace) -> None:
    """Prints a line as soon as a network is done, and the table at the end. ParityError when a code differs."""
    for name in arguments.backbones:
        if name not in BACKBONES:
            raise QgaitError(f"There is no backbone called {name!r}.", f"choose one of {', '.join(BACKBONES)}.")
    if arguments.sequences < 3 or arguments.frames < 1:
        raise QgaitError("Three or more sequences of a frame or more are needed.", "ask for more.")
    runtimes = arguments.runtime or one_of_each_kind()
    check_names(runtimes)
    clips = sequences(arguments.data, arguments.sequences, arguments.frames)
    rows: list[dict[str, Any]] = []
    for label, model in networks(arguments):
        for bits in arguments.bits or BITS:
            since = time.monotonic()
            rows.append({"network": label, "bits": bits, **differing(model, bits, clips, runtimes)})
            print(f"{rows[-1]}, {time.monotonic() - since:.0f} s", file=sys.stderr, flush=True)
            write_json(arguments.json, {"sequences": [len(clip) for clip in clips], "rows": rows})
    columns = list(rows[0])
    table(f"Codes that differ on {len(clips)} sequences", columns, [[row[name] for name in columns] for row in rows])
    wrong = [f"{row['network']} {row['bits']}" for row in rows if any(row[name] for name in columns[3:])]
    if wrong:
        raise ParityError(f"Codes differ: {', '.join(wrong)}.")


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("backbones", nargs="*", metavar="BACKBONE", help="all unless some are named")
    made.add_argument("--published", action="store_true", help="published channels; emulated ARM code is slow")
    made.add_argument("--variants", action="store_true", help="all published forms of each, not the first alone")
    made.add_argument("--checkpoint", action="append", type=Path, default=[], help="a float network; repeatable")
    made.add_argument("--bits", action="append", help=f"repeatable; {' and '.join(BITS)} unless given")
    made.add_argument("--runtime", action="append", help="repeatable; one of each kind unless given")
    made.add_argument("--data", type=Path, help="silhouettes in OpenGait's layout; else synthetic walkers")
    made.add_argument("--sequences", type=int, default=6)
    made.add_argument("--frames", type=int, default=20, help="of every sequence")
    made.add_argument("--json", type=Path, help="write the table as JSON, row by row")
    return made


def run(words: list[str] | None = None) -> int:
    """The exit code of one command line."""
    return exit_code(main, parser(), words)


if __name__ == "__main__":
    sys.exit(run())
