"""Seconds and peak memory from a float checkpoint to ONNX and to bundles, of the largest published networks.

    python benchmarks/export_times.py [NETWORK...] [--target host --target arm] [--sequences 48]

Each step is the command that a user types, in a process of its own. Weights are random. Processor seconds are those of
the command and of what it starts (onnxsim, the linker, QEMU for the self-test) and do not grow when the machine is
busy; peak memory is that of the largest of these processes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from qgait.commands.output import table, write_json
from qgait.errors import QgaitError
from qgait.models import checkpoint
from qgait.models.hstl import REGIONS
from qgait.models.registry import build
from qgait.targets.processors import find

COMMAND = "import sys; from qgait.cli import run; sys.exit(run())"
NETWORKS: dict[str, dict[str, Any]] = {
    "deepgaitv2-3d": {"name": "deepgaitv2", "mode": "3d"},
    "deepgaitv2-p3d": {"name": "deepgaitv2", "mode": "p3d"},
    "gaitgl-big": {"name": "gaitgl", "channels": (32, 64, 128, 256)},
    "hstl-oumvlp": {"name": "hstl", "channels": (32, 64, 128, 256), "regions": REGIONS["oumvlp"]},
    "gaitpart-big": {"name": "gaitpart", "channels": (32, 64, 128, 256)},
    "gaitbase": {"name": "gaitbase"},
}


def run(words: list[str], folder: Path) -> dict[str, float]:
    """What a qgait command took. QgaitError when it fails."""
    since = time.monotonic()
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", COMMAND, *words], stdout=output, stderr=output, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        lines = (folder / "output.txt").read_text().strip().splitlines()
        raise QgaitError(f"qgait {' '.join(words)} failed: {' '.join(lines[-2:])}", "run it by hand.")
    return {
        "seconds": round(time.monotonic() - since, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_bytes": usage.ru_maxrss * 1024,
    }


def steps(network: str, targets: list[str], walks: Path, sequences: int, bits: str) -> list[dict[str, Any]]:
    """A row for each command."""
    with tempfile.TemporaryDirectory(prefix="qgait-") as name:
        folder = Path(name)
        torch.manual_seed(0)
        checkpoint.save(build(**NETWORKS[network]), folder / "float.pt")
        asked = ["--checkpoint", "float.pt", "--data", str(walks), "--sequences", str(sequences), "--bits", bits]
        commands = {
            "calibrate": ["calibrate", *asked, "--out", "model.safetensors"],
            "export": ["export", "model.safetensors", "--out", "model.onnx"],
            **{f"compile {to}": ["compile", "model.onnx", "--target", to, "--out", to] for to in targets},
        }
        rows = []
        for step, words in commands.items():
            rows.append({"network": network, "step": step, **run(words, folder)})
            print(rows[-1], file=sys.stderr, flush=True)
        return rows


def main(arguments: argparse.Namespace) -> None:
    """One table of all networks."""
    targets = arguments.target or ["host", "arm"]
    for target in targets:
        find(target)
    unknown = [name for name in arguments.networks if name not in NETWORKS]
    if unknown:
        raise QgaitError(f"There is no network {unknown[0]!r} here.", f"choose of {', '.join(NETWORKS)}.")
    rows = []
    with tempfile.TemporaryDirectory(prefix="qgait-") as folder:
        walks = Path(folder) / "walks"
        run(["data", "synth", str(walks), "--subjects", "2", "--frames", "40"], Path(folder))
        for network in arguments.networks or NETWORKS:
            rows += steps(network, targets, walks, arguments.sequences, arguments.bits)
            write_json(arguments.json, {"sequences": arguments.sequences, "bits": arguments.bits, "rows": rows})
    lines = [
        (row["network"], row["step"], row["seconds"], row["processor_seconds"], f"{row['peak_bytes'] / 1e9:.2f}")
        for row in rows
    ]
    columns = ("network", "step", "seconds", "processor seconds", "peak memory, GB")
    table("From a checkpoint to bundles", columns, lines)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "networks", nargs="*", metavar="NETWORK", help=f"{', '.join(NETWORKS)}; all unless some are named"
    )
    made.add_argument("--target", action="append", help="repeatable; host and arm unless given")
    made.add_argument("--sequences", type=int, default=48, help="that calibration looks at")
    made.add_argument("--bits", default="w8a8")
    made.add_argument("--json", type=Path, help="write the table as JSON, network by network")
    return made


if __name__ == "__main__":
    try:
        main(parser().parse_args())
    except QgaitError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
