"""Bytes of weights and of whole files, by bit width: of the model file, the ONNX file and, with --target, the library.

    python benchmarks/artefact_sizes.py
    python benchmarks/artefact_sizes.py gaitset --bits w4a4 w2a2 --first-last same --target arm
    python benchmarks/artefact_sizes.py --checkpoint FLOAT.pt

GaitSet and GaitBase have the published widths and random weights, ``shipped`` is the network in the package;
``--checkpoint`` is one of your own. All are calibrated on a few synthetic walks. *Wanted* is what the weights need:
parameters times bits / 8, layer by layer, the first and the last at 8 bits unless ``--first-last same``. Exits with 1
when the weights in a file are more than 5 % larger.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from exit_code import exit_code
from safetensors.numpy import load_file

from qgait.calibration.calibrate import calibrate
from qgait.commands.output import table, write_json
from qgait.data.walkers.dataset import sequence
from qgait.errors import ParityError, QgaitError
from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.export.onnx.packed_weights import packed_weight
from qgait.export.onnx.writer import write
from qgait.models import checkpoint, shipped
from qgait.models.backbone import Backbone, describe
from qgait.models.registry import build
from qgait.quantizers import model_file
from qgait.quantizers.grid import Recipe
from qgait.quantizers.parameters import weight_layers
from qgait.quantizers.simulated import SimulatedNetwork

PUBLISHED = {"gaitset": {"channels": (32, 64, 128), "embedding": 256}, "gaitbase": {}}
NETWORKS = (*PUBLISHED, "shipped")
BITS = ("w8a8", "w4a4", "w3a3", "w2a2")
ROOM = 1.05
WALKS, FRAMES = 4, 4  # for calibration


@dataclass(frozen=True)
class Sizes:
    """In bytes but for ``parameters``; ``library`` is code and weights, where a target was named."""

    network: str
    bits: str
    first_last: str
    parameters: int
    wanted: float
    model_weights: int
    model_file: int
    onnx_weights: int
    onnx_file: int
    library: int | None


def float_network(name: str, path: Path | None) -> Backbone:
    """The network called ``name``, or the one in a checkpoint."""
    if path is not None:
        return checkpoint.load(path)
    if name == "shipped":
        return checkpoint.load(shipped.checkpoint())
    torch.manual_seed(0)
    return build(name, **PUBLISHED[name]).eval()


def sizes_of(name: str, network: SimulatedNetwork, folder: Path, target: str | None) -> Sizes:
    """Writes both files, and with ``target`` a bundle, into ``folder`` and looks at them."""
    graph, model, file = fold(network), folder / "model.safetensors", folder / "model.onnx"
    model_file.save(network, model)
    write(graph, file)
    counts = {layer.name: layer.weight.numel() for layer in weight_layers(network.layers) if layer.weight is not None}
    return Sizes(
        name,
        str(network.recipe),
        network.recipe.first_last,
        sum(counts.values()),
        sum(count * network.weight_bits[layer] for layer, count in counts.items()) / 8,
        sum(array.nbytes for key, array in load_file(model).items() if key.startswith("weight:")),
        model.stat().st_size,
        onnx_weight_bytes(file),
        file.stat().st_size,
        None if target is None else library_bytes(graph, target, folder),
    )


def onnx_weight_bytes(path: Path) -> int:
    """Of int8 weights, planes and their shapes; the tables that unpack them are shared by all."""
    initializers = onnx.load(path).graph.initializer
    weights = [one for one in initializers if one.name.endswith(".weight") or packed_weight(one.name)]
    return sum(len(one.raw_data) for one in weights)


def library_bytes(graph: Graph, target: str, folder: Path) -> int:
    """Of the code and weights in a bundle."""
    from qgait.compiler.bundle import write as write_bundle
    from qgait.runtime.bundle import Bundle
    from qgait.targets.processors import find

    write_bundle(graph, find(target), folder / "bundle", clips()[:1])
    return Bundle.open(folder / "bundle").library_bytes


def clips() -> list[np.ndarray]:
    """Synthetic walks, uint8 [FRAMES, 64, 44]."""
    return [sequence(0, subject, "nm-01", 90, FRAMES) for subject in range(1, WALKS + 1)]


def measured(names: Sequence[str], arguments: argparse.Namespace) -> list[Sizes]:
    """Every network at every width."""
    found = []
    for name in names:
        layers = describe(float_network(name, arguments.checkpoint))
        for bits in arguments.bits:
            recipe = Recipe(Recipe.parse(bits).weights, Recipe.parse(bits).activations, arguments.first_last)
            network, _ = calibrate(name, layers, clips(), recipe, "minmax")
            with tempfile.TemporaryDirectory(prefix="qgait-") as folder:
                found.append(sizes_of(name, network, Path(folder), arguments.target))
            print(f"{name} {bits}", file=sys.stderr, flush=True)
    return found


def main(arguments: argparse.Namespace) -> None:
    """Prints the table. ParityError when weights take more room than they should."""
    strange = [name for name in arguments.networks if name not in NETWORKS]
    if strange:
        raise QgaitError(f"There is no network called {strange[0]!r}.", f"choose one of {', '.join(NETWORKS)}.")
    names = [arguments.checkpoint.name] if arguments.checkpoint else arguments.networks or NETWORKS
    found = measured(names, arguments)
    columns = ("", "bits", "weights", "wanted", "model", "in all", "ONNX", "in all", "library")
    rows = [
        (
            *(one.network, f"{one.bits}, {one.first_last}", f"{one.parameters:,}", kilobytes(one.wanted)),
            *map(kilobytes, (one.model_weights, one.model_file, one.onnx_weights, one.onnx_file)),
            "-" if one.library is None else kilobytes(one.library),
        )
        for one in found
    ]
    table("Weights, and kB that they want, have in each file, and that the file has in all", columns, rows)
    write_json(arguments.json, {"sizes": [asdict(one) for one in found]})
    large = [one for one in found if max(one.model_weights, one.onnx_weights) > ROOM * one.wanted]
    if large:
        what = f"{large[0].network} at {large[0].bits}"
        raise ParityError(f"The weights of {what} take more than {ROOM:.0%} of their bits.")


def kilobytes(count: float) -> str:
    """In thousands of bytes."""
    return f"{count / 1000:,.1f}"


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)}; all unless named")
    made.add_argument("--bits", nargs="+", default=list(BITS), help=f"else {' '.join(BITS)}")
    made.add_argument("--first-last", choices=("8", "same"), default="8", help="bits of the first and the last layer")
    made.add_argument("--checkpoint", type=Path, help="a float network of your own instead")
    made.add_argument("--target", help="compile for it too")
    made.add_argument("--json", type=Path, help="the same figures")
    return made


def run(words: list[str] | None = None) -> int:
    """The exit code of one command line."""
    return exit_code(main, parser(), words)


if __name__ == "__main__":
    sys.exit(run())
