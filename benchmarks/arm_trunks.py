"""Executed ARM instructions of a whole trunk: qgait beside ONNX Runtime and LiteRT. See arm_instructions.py.

The trunk is everything up to set pooling; qgait's count includes the running maximum. All int8 networks are made from
the same float network with random weights. Before anything is counted each peer's outputs are compared with the float
network's, and qgait's bundle passes its self-test.

qgait: once with 1 frame and once with 3; half the difference is a frame, exact. The peers: with 1 frame and with 11,
the lower of two counts each, because ONNX Runtime's start-up varies by over ten million instructions; a tenth of the
difference is a frame.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import peer_run
import torch
from arm64_python import check_machine, python_command
from peer_models import float_trunk, int8_trunk

from qgait.calibration.calibrate import calibrate
from qgait.commands.output import table
from qgait.compiler.bundle import write
from qgait.data.walkers.dataset import sequence
from qgait.errors import QgaitError
from qgait.export.folding import fold
from qgait.models.backbone import describe
from qgait.models.layers import Layer
from qgait.models.registry import build
from qgait.quantizers.grid import Recipe
from qgait.runtime.benchmark import bench
from qgait.runtime.bundle import Bundle
from qgait.runtime.qemu import count_instructions
from qgait.targets.processors import find

MACS_AN_INSTRUCTION = 16  # sdot: four sums of four products
PEER_FRAMES = 10
LEAST_CORRELATION = 0.95  # of a peer's outputs with the float network's; about 0.999 when the file is right
NAMES = {"onnxruntime": "ONNX Runtime", "litert": "LiteRT"}
# processor, qgait's target for it, and the peers
CASES = (("neoverse-n1", "arm", ("onnxruntime", "litert")), ("cortex-a72", "arm64-v8", ("onnxruntime",)))


def peer_files(layers: list[Layer], clip: np.ndarray, folder: Path) -> dict[str, Path]:
    """The trunk as each peer's file, int8 with the ranges of ``clip`` uint8 [n, 64, 44]; checked on the host."""
    from tflite_trunk import tflite_trunk

    single = folder / "float.onnx"
    files = {"onnxruntime": folder / "int8.onnx", "litert": folder / "int8.tflite"}
    float_trunk(layers, single)
    int8_trunk(single, files["onnxruntime"], clip)
    tflite_trunk(layers, single, files["litert"], clip)
    np.save(folder / "frame.npy", clip[-1])
    for kind, file in files.items():
        check_outputs(kind, peer_run.RUNNERS[kind](str(file), clip[-1], 1), folder)
    return files


def check_outputs(kind: str, outputs: list[np.ndarray], folder: Path) -> float:
    """The least correlation of an output with the float network's; QgaitError when it is too small."""
    exact = peer_run.onnxruntime(str(folder / "float.onnx"), np.load(folder / "frame.npy"), 1)
    least = min(np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(exact, outputs, strict=True))
    if not least > LEAST_CORRELATION:
        raise QgaitError(
            f"{NAMES[kind]}'s int8 trunk is not the float trunk: their outputs correlate by {least:.3f}.",
            "correct the file's writer: counting a wrong network says nothing.",
        )
    return float(least)


def peer_instructions(kind: str, file: Path, cpu: str, folder: Path) -> tuple[int, float]:
    """(executed instructions of one run, correlation of its outputs under the emulator with the float network's)."""
    emulator, python = python_command(cpu)
    outputs = folder / "outputs.npz"
    program = [python, Path(peer_run.__file__), kind, file, folder / "frame.npy"]
    one, many = (
        min(count_instructions([*emulator, *program, str(runs), outputs]) for _ in range(2))
        for runs in (1, 1 + PEER_FRAMES)
    )
    found = np.load(outputs)
    return (many - one) // PEER_FRAMES, check_outputs(kind, [found[name] for name in found.files], folder)


def measure(name: str, clip: np.ndarray, with_peers: bool) -> list[tuple[str, ...]]:
    """The rows of one backbone's trunk."""
    torch.manual_seed(0)
    layers = describe(build(name).eval())
    network, _ = calibrate(name, layers, [clip, clip[::-1]], Recipe.parse("w8a8"))
    graph = fold(network)
    rows = []
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        files = peer_files(layers, clip, folder) if with_peers else {}
        for cpu, target, peers in CASES:
            write(graph, find(target), folder / target, [clip[:2], clip[:3]])
            facts = bench(Bundle.open(folder / target), "qemu")
            macs, ours = facts.macs_per_frame, facts.instructions_per_frame
            counts = {f"qgait ({target})": (ours, "all codes")}
            for kind in peers if with_peers else ():
                count, correlation = peer_instructions(kind, files[kind], cpu, folder)
                counts[f"{NAMES[kind]} int8"] = (count, f"{correlation:.4f}")
            if cpu == "neoverse-n1":
                counts["floor: 16 MAC an instruction"] = (macs // MACS_AN_INSTRUCTION, "")
            for label, (count, agrees) in counts.items():
                figures = (f"{count / 1e6:.2f}", f"{count / macs:.4f}", f"{macs / count:.2f}", f"{count / ours:.2f}")
                rows.append((f"{name}, {label}", cpu, *figures, agrees))
    return rows


def print_trunks(with_peers: bool) -> None:
    """Prints the table of both backbones; QgaitError when the peers cannot run here."""
    if with_peers:
        check_machine()
    torch.set_num_threads(1)
    clip = np.ascontiguousarray(sequence(1, 1, "nm-01", 90, 8)[:, :, 10:-10])
    table(
        "Executed instructions a frame, one thread, aarch64 under qemu-user",
        ("trunk", "-cpu", "million", "a MAC", "MAC each", "times qgait", "agrees"),
        [row for name in ("gaitset", "gaitbase") for row in measure(name, clip, with_peers)],
    )
