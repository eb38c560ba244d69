"""Milliseconds a frame on one core of this machine: qgait beside ONNX Runtime, in the same run.

    python benchmarks/host_speed.py [--frames 60] [--rounds 9]

The trunk is what runs once a frame: everything up to set pooling. Weights are random (speed does not depend on them);
qgait's int8 network and ONNX Runtime's int8 (QDQ, uint8 activations, int8 weights per channel) and float32 networks are
made from the same float network. Every round measures each in turn; the figures are medians over the rounds, and the
ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from peer_models import float_trunk, int8_trunk

from qgait.calibration.calibrate import calibrate
from qgait.commands.output import table
from qgait.compiler.bundle import write
from qgait.data.walkers.dataset import sequence
from qgait.export.folding import fold
from qgait.models.backbone import describe
from qgait.models.layers import INPUT
from qgait.models.registry import build
from qgait.quantizers.grid import Recipe
from qgait.runtime.bundle import Bundle
from qgait.runtime.compiled import Stream
from qgait.targets.processors import find


def ort_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def runners(name: str, clip: np.ndarray, folder: Path) -> dict[str, Callable[[np.ndarray], object]]:
    """One function a competitor that takes a uint8 frame [64, 44]."""
    torch.manual_seed(0)
    layers = describe(build(name).eval())
    float_trunk(layers, folder / "float.onnx")
    int8_trunk(folder / "float.onnx", folder / "int8.onnx", clip[:8])
    network, _ = calibrate(name, layers, [clip, clip[::-1]], Recipe.parse("w8a8"))
    write(fold(network), find("host"), folder / "bundle", [clip[:2], clip[:3]])
    stream = Stream(Bundle.open(folder / "bundle"))
    single, quantized = ort_session(folder / "float.onnx"), ort_session(folder / "int8.onnx")

    def scaled(frame: np.ndarray) -> dict[str, np.ndarray]:
        return {INPUT: frame[None, None].astype(np.float32) / 255}

    return {
        "qgait int8": stream.push,
        "ONNX Runtime int8": lambda frame: quantized.run(None, scaled(frame)),
        "ONNX Runtime float32": lambda frame: single.run(None, scaled(frame)),
    }


def milliseconds(run: Callable[[np.ndarray], object], frames: np.ndarray) -> float:
    """Median time of one frame."""
    times = []
    for frame in frames:
        start = time.perf_counter()
        run(frame)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    frames = np.ascontiguousarray(sequence(1, 1, "nm-01", 90, arguments.frames)[:, :, 10:-10])
    rows = []
    for name in ("gaitset", "gaitbase"):
        with tempfile.TemporaryDirectory() as folder:
            competitors = runners(name, frames, Path(folder))
            rounds: dict[str, list[float]] = {label: [] for label in competitors}
            for turn in range(arguments.rounds + 1):
                for label, run in competitors.items():
                    figure = milliseconds(run, frames)
                    if turn:  # the first round warms up
                        rounds[label].append(figure)
        ours = rounds["qgait int8"]
        for label, figures in rounds.items():
            ratio = statistics.median(theirs / mine for theirs, mine in zip(figures, ours, strict=True))
            rows.append(
                (f"{name}, {label}", f"{statistics.median(figures):.3f}", f"{min(figures):.3f}", f"{ratio:.2f}")
            )
    table(
        f"ms a frame, one core, {platform.machine()}, ONNX Runtime {onnxruntime.__version__}",
        ("trunk", "median", "fastest round", "times qgait"),
        rows,
    )


if __name__ == "__main__":
    main()
