"""Every backbone, at every bit width, on every runtime: codes that differ from the reference.

    python benchmarks/parity_matrix.py
    python benchmarks/parity_matrix.py hstl gaitgl --published --runtime ort --runtime arm --data FOLDER --frames 6
    python benchmarks/parity_matrix.py --checkpoint RUN/checkpoint.pt --bits w8a8 --data FOLDER

Networks have random weights and an eighth of their channels, or the published ones, or are checkpoints. Each is
calibrated on the sequences that it is then compared on, exported, compiled for every target, and run on them. One
sequence has a single frame and one has two: shorter than some networks take, which then repeat them. Exits with 1 when
any code differs.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qgait.calibration.calibrate import FRAMES, calibrate
from qgait.commands.output import progress, table
from qgait.commands.verify import merged
from qgait.errors import ParityError, QgaitError
from qgait.export.checks import check_graph
from qgait.export.folding import fold
from qgait.export.onnx_simplify import simplify
from qgait.export.onnx_writer import write
from qgait.export.probe import probe_clips
from qgait.files import replace_file
from qgait.models import checkpoint
from qgait.models.backbone import Backbone, describe
from qgait.models.registry import BACKBONES, build
from qgait.quantizers.grid import Recipe
from qgait.runtime.parity import Clip, compare, compare_fake, expected_codes
from qgait.runtime.selection import check_names, open_runtimes

RUNTIMES = ("reference", "ort", "host", "arm", "arm64-v8")
BITS = ("w8a8", "w4a4")
NARROWER, LEAST = 8, 4  # the published channels divided by the first, but no fewer than the second


def networks(arguments: argparse.Namespace) -> Iterator[tuple[str, Backbone]]:
    """(label, network in eval mode) of all that are asked for."""
    for path in arguments.checkpoint:
        model = checkpoint.load(path)
        yield f"{model.name} {path.parent.name}/{path.name}", model
    names = arguments.backbones or ([] if arguments.checkpoint else list(BACKBONES))
    for name in names:
        if name not in BACKBONES:
            raise QgaitError(f"There is no backbone called {name!r}.", f"choose one of {', '.join(BACKBONES)}.")
        for variant in BACKBONES[name].variants if arguments.variants else ({},):
            label = " ".join([name, *(f"{k}={v}" for k, v in variant.items() if k != "regions")])
            torch.manual_seed(0)
            yield label, build(name, **(variant if arguments.published else _narrow(name, variant))).eval()


def _narrow(name: str, variant: dict[str, Any]) -> dict[str, Any]:
    channels = variant.get("channels", inspect.signature(BACKBONES[name]).parameters["channels"].default)
    return {**variant, "channels": tuple(max(count // NARROWER, LEAST) for count in channels)}


def sequences(data: Path | None, count: int, frames: int) -> list[Clip]:
    """``count`` sequences of ``frames`` frames, of a data set or of synthetic walkers; two of them are shorter."""
    if data is not None:
        from qgait.data.opengait import Dataset
        from qgait.data.selection import load_clips, spread

        clips = load_clips(spread(Dataset.open(data).sequences, count), None, frames)
    else:
        from qgait.data.walkers.dataset import sequence

        walks = [sequence(0, i + 1, ("nm-01", "bg-01", "cl-01")[i % 3], 18 * (i % 11), frames) for i in range(count)]
        clips = [np.ascontiguousarray(walk[:, :, 10:-10]) for walk in walks]
    return [*clips[:-2], clips[-2][:2], clips[-1][:1]]


def differing(model: Backbone, bits: str, clips: list[Clip], runtimes: list[str]) -> dict[str, int]:
    """Differing codes by runtime, simulated quantization in float64 first; ``codes`` were compared."""
    layers = describe(model)
    long = [np.resize(clip, (max(len(clip), FRAMES), *clip.shape[1:])) for clip in clips]
    network, _ = calibrate(model.name, layers, long, Recipe.parse(bits))
    graph = fold(network)
    check_graph(graph)
    with tempfile.TemporaryDirectory() as folder, progress() as report:
        onnx = Path(folder) / "model.onnx"
        write(graph, onnx)
        simplify(onnx, graph, probe_clips(graph))
        expected = expected_codes(graph, clips, report)
        found = {"codes": sum(codes.size for codes in expected)}
        found["fake, float64"] = compare_fake(network, graph, clips, expected, report).mismatches_float64
        results = {}
        for runtime in open_runtimes(runtimes, onnx, graph, report):
            results[runtime.label] = compare(runtime, graph, clips, expected)
            runtime.close()
    return found | {name: result.mismatches for name, result in merged(results).items()}


def main() -> None:
    """Prints a line as soon as a network is done, and the table at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="*", metavar="BACKBONE", help="all unless some are named")
    parser.add_argument("--published", action="store_true", help="published channels; ARM code under QEMU takes hours")
    parser.add_argument("--variants", action="store_true", help="all published forms of each, not the first alone")
    parser.add_argument("--checkpoint", action="append", type=Path, default=[], help="a float network; repeatable")
    parser.add_argument("--bits", action="append", help=f"repeatable; {' and '.join(BITS)} unless given")
    parser.add_argument("--runtime", action="append", help=f"repeatable; {', '.join(RUNTIMES)} unless given")
    parser.add_argument("--data", type=Path, help="silhouettes in OpenGait's layout; else synthetic walkers")
    parser.add_argument("--sequences", type=int, default=6)
    parser.add_argument("--frames", type=int, default=20, help="of every sequence")
    parser.add_argument("--json", type=Path, help="write the table as JSON")
    arguments = parser.parse_args()
    if arguments.sequences < 3:
        parser.error("three or more sequences are needed")
    runtimes = arguments.runtime or list(RUNTIMES)
    check_names(runtimes)
    clips = sequences(arguments.data, arguments.sequences, arguments.frames)
    rows = []
    for label, model in networks(arguments):
        for bits in arguments.bits or BITS:
            since = time.monotonic()
            rows.append({"network": label, "bits": bits, **differing(model, bits, clips, runtimes)})
            print(f"{rows[-1]}, {time.monotonic() - since:.0f} s", file=sys.stderr, flush=True)
    columns = list(rows[0])
    table(f"Codes that differ on {len(clips)} sequences", columns, [[row[name] for name in columns] for row in rows])
    if arguments.json is not None:
        replace_file(arguments.json, (json.dumps(rows, indent=1) + "\n").encode())
    wrong = [f"{row['network']} {row['bits']}" for row in rows if any(row[name] for name in columns[3:])]
    if wrong:
        raise ParityError(f"Codes differ: {', '.join(wrong)}.")


if __name__ == "__main__":
    try:
        main()
    except (ParityError, QgaitError) as error:
        sys.exit(str(error))
