"""Vela's estimates of backbones on Ethos-U, beside the same trunks as plain int8 TFLite, in the same run.

    python benchmarks/npu_figures.py [--backbones gaitset,gaitbase] [--accelerators ethos-u55-128,...] [--bits w8a8]
                                     [--layers] [--sram 512] [--clip 30] [--json FILE]

Estimates, not measurements: Vela computes them to choose between schedules. Networks have their published widths and
random weights, from their own initialization with seed 0, quantized with the ranges of two synthetic clips.
Weights' values matter: what comes from flash is compressed, and random weights compress worse than trained ones.

The trunk is what runs once a frame, without running maxima; *frame* has them. The share of the peak counts the
network's multiply-accumulates, not those that an accelerator does besides. TFLite is benchmarks/tflite_trunk.py's file
of the same float network with the same ranges (per-channel int8, as LiteRT runs it) through the same Vela.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import npu_layers
import numpy as np
import torch
from peer_models import float_trunk
from tflite_trunk import tflite_trunk

from qgait.calibration.calibrate import calibrate
from qgait.commands.output import table, write_json
from qgait.compiler.npu.ethosu.segment_compiler import SegmentCompiler
from qgait.compiler.npu.ethosu.vela import VelaOptions, arguments
from qgait.compiler.npu.ethosu.vela_output import read_figures
from qgait.compiler.npu.partition import partition
from qgait.data.walkers.dataset import sequence
from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.export.operators import FrameMax
from qgait.export.segments import Segment, segment_of
from qgait.export.tosa.writer import clip_bytes
from qgait.models.backbone import describe
from qgait.models.registry import build
from qgait.quantizers.grid import Recipe
from qgait.runtime.ethosu.segment import Figures
from qgait.targets.accelerators import NpuTarget, find_npu

USUAL = "ethos-u55-128,ethos-u55-256,ethos-u65-256,ethos-u85-256"
KIB = 1024


def network(name: str, bits: str, folder: Path) -> tuple[Graph, Path]:
    """The integer graph of a backbone and its trunk as TFLite."""
    torch.manual_seed(0)
    layers = describe(build(name).eval())
    clip = np.ascontiguousarray(sequence(1, 1, "nm-01", 90, 8)[:, :, 10:-10])
    simulated, _ = calibrate(name, layers, [clip, clip[::-1]], Recipe.parse(bits))
    single, tflite = folder / f"{name}.onnx", folder / f"{name}.tflite"
    float_trunk(layers, single)
    tflite_trunk(layers, single, tflite, clip)
    return fold(simulated), tflite


def trunk_of(graph: Graph) -> Segment:
    """What runs once a frame, without running maxima."""
    return segment_of(graph, tuple(op for op in graph.frame_ops() if not isinstance(op, FrameMax)), "trunk")


def estimated(file: Path, target: NpuTarget) -> Figures:
    """Vela's estimate of a TFLite or TOSA file as it stands."""
    command = [sys.executable, "-m", "ethosu.vela", str(file), *arguments(target, VelaOptions())]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [*command, "--output-dir", folder, "--verbose-performance"], check=True, stdout=subprocess.DEVNULL
        )
        return read_figures(Path(folder), file.stem)


def facts(figures: Figures, macs: int, target: NpuTarget) -> dict[str, Any]:
    """A row: cycles, share of the peak, milliseconds, KiB of memory."""
    return {
        "cycles": figures.cycles,
        "share": round(macs / target.macs / figures.cycles, 4) if macs else 0,
        "ms": round(figures.milliseconds, 3),
        **{f"{name}_kib": round(getattr(figures, name) / KIB) for name in ("sram", "dram", "flash")},
    }


def measured(graph: Graph, tflite: Path, target: NpuTarget, sram: int | None) -> dict[str, Any]:
    """Everything about one backbone on one accelerator."""
    of_frame, of_clip = graph.frame_macs, graph.clip_macs
    made = partition(graph, target)
    compiler = SegmentCompiler(graph, target, VelaOptions())
    frame, head = (segment_of(graph, tuple(ops), name) for ops, name in _phases(graph))
    trunk = compiler.compiled(trunk_of(graph)).figures
    found: dict[str, Any] = {
        "on_npu": not made.host,
        "trunk": facts(trunk, of_frame, target),
        "frame": facts(compiler.compiled(frame).figures, of_frame, target),
        "head": facts(compiler.compiled(head).figures, of_clip, target),
        "tflite": facts(estimated(tflite, target), of_frame, target),
        "layers": list(npu_layers.rows(graph, trunk, target)),
    }
    if sram is not None:
        small = SegmentCompiler(graph, target, VelaOptions(), sram * KIB).compiled(trunk_of(graph)).figures
        found["small"] = facts(small, of_frame, target)
    return found


def _phases(graph: Graph) -> tuple[tuple[Any, str], ...]:
    return (graph.frame_ops(), "frame"), (graph.clip_ops(), "head")


def batch(graph: Graph, frames: int, target: NpuTarget, folder: Path) -> Figures:
    """The whole clip as one graph, the frames as its batch: no streaming, no forms."""
    file = folder / "clip.tosa"
    file.write_bytes(clip_bytes(graph, frames))
    return estimated(file, target)


def cells(row: dict[str, Any]) -> list[str]:
    """A row of figures for the table."""
    memory = [str(row[f"{name}_kib"]) for name in ("sram", "dram", "flash")]
    return [f"{row['cycles']:,}", f"{row['share']:.3f}", f"{row['ms']:.3f}", *memory]


def show(name: str, target: NpuTarget, found: dict[str, Any], layers: bool) -> None:
    """Prints what was measured of one backbone on one accelerator."""
    what = {"tflite": "TFLite, trunk", "trunk": "qgait, trunk", "small": "qgait, trunk, little SRAM"}
    what |= {"frame": "qgait, frame with maxima", "head": "qgait, head"}
    columns = ("estimated by Vela", "cycles", "of peak", "ms", "SRAM", "DRAM", "flash KiB")
    title = f"{name} on {target.name}, {'all' if found['on_npu'] else 'not all'} operators on the NPU"
    table(title, columns, [[label, *cells(found[key])] for key, label in what.items() if key in found])
    if layers:
        table("layers of the trunk", ("layer", "operator", "cycles", "of peak", "because"), found["layers"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", default="gaitset,gaitbase", help="names that tflite_trunk.py can write")
    parser.add_argument("--accelerators", default=USUAL)
    parser.add_argument("--bits", default="w8a8")
    parser.add_argument("--layers", action="store_true", help="a table of the trunk's layers, with reasons")
    parser.add_argument("--sram", type=int, help="also the trunk within this many KiB of SRAM")
    parser.add_argument("--clip", type=int, help="also a clip of so many frames: streamed, and as one batch")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as work:
        for name in args.backbones.split(","):
            graph, tflite = network(name, args.bits, Path(work))
            for wanted in args.accelerators.split(","):
                target = find_npu(wanted) or parser.error(f"no accelerator is called {wanted}")
                found = results[f"{name} {wanted}"] = measured(graph, tflite, target, args.sram)
                show(name, target, found, args.layers)
                if args.clip:
                    whole = batch(graph, args.clip, target, Path(work))
                    streamed = args.clip * found["frame"]["cycles"] + found["head"]["cycles"]
                    found["clip"] = {"frames": args.clip, "streamed": streamed, "batch": facts(whole, 0, target)}
                    print(f"{args.clip} frames: {streamed:,} cycles streamed, {whole.cycles:,} as one batch")
                    print(f"  {whole.cycles / streamed:.2f} times; {whole.sram / KIB:,.0f} KiB of SRAM as a batch")
                write_json(args.json, results)


if __name__ == "__main__":
    main()
