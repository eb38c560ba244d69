"""What the report says, as plain data: made from the JSON that the commands wrote."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from qgait.version import __version__

PACKAGES = ("numpy", "torch", "safetensors", "onnx", "onnxruntime", "onnxsim", "apache-tvm", "ziglang")
PLACES = {"reference": "numpy", "ort": "ONNX Runtime"}


def verdict(
    verify: Mapping[str, Any],
    errors: Sequence[Mapping[str, Any]],
    failures: Sequence[str],
    unchecked: Sequence[str],
    places: Mapping[str, str],
) -> dict[str, Any]:
    """Whether the promise held: ``failures`` are sentences of failed checks, ``unchecked`` of what could not be run.

    ``places`` says where the code of a bundle ran, by its name among the runtimes.
    """
    fake, runtimes = verify["fake"], verify["runtimes"]
    differing = {name: result["mismatches"] for name, result in runtimes.items() if result["mismatches"]}
    if fake["mismatches_float64"]:
        differing["fake, float64"] = fake["mismatches_float64"]
    inside = sum(layer["fake_float64"] for layer in errors)
    largest = max([fake["max_difference"] if fake["mismatches_float64"] else 0, *_largest(runtimes)])
    return {
        "holds": not differing and not failures and not inside,
        "sequences": verify["sequences"],
        "codes": verify["codes"],
        "inner_codes": sum(layer["codes"] for layer in errors),
        "inner_differing": inside,
        "runtimes": list(runtimes),
        "places": [(PLACES | dict(places)).get(name, name) for name in runtimes],
        "differing": differing,
        "max_difference": largest,
        "first_layers": {name: runtimes[name]["first_layer"] for name in differing if name in runtimes},
        "failures": list(failures),
        "unchecked": list(unchecked),
    }


def table(
    verify: Mapping[str, Any],
    evaluations: Sequence[Mapping[str, Any]],
    benchmarks: Mapping[str, Mapping[str, Any]],
    sizes: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Levels and runtimes side by side; a figure that was not measured is None.

    ``evaluations``: the results of `recognition`, or what ``qgait eval`` writes; ``benchmarks``: what ``qgait bench``
    writes, by target; ``sizes``: bytes, by ``float``, ``fake`` or the name of a runtime.
    """
    found = {(e["level"], e["runtime"]): e for e in evaluations}
    fake = verify["fake"]
    real, simulated = found.get(("float", "torch")), found.get(("fake", "torch"))
    rows = [
        _row("float", "float32", real, None, verify, {}, sizes.get("float")),
        _row("fake", "float32", simulated, fake["mismatches"], verify, {}, sizes.get("fake")),
        _row("fake", "float64", None, fake["mismatches_float64"], verify, {}, None),
    ]
    for name, result in verify["runtimes"].items():
        accuracy = found.get(("int", name))
        rows.append(
            _row("int", name, accuracy, result["mismatches"], verify, benchmarks.get(name, {}), sizes.get(name))
        )
    return rows


def _row(
    level: str,
    runtime: str,
    accuracy: Mapping[str, Any] | None,
    differing: int | None,
    verify: Mapping[str, Any],
    bench: Mapping[str, Any],
    size: int | None,
) -> dict[str, Any]:
    return {
        "level": level,
        "runtime": runtime,
        "rank1": accuracy["rank1"] if accuracy else None,
        "eer": accuracy["eer"] if accuracy else None,
        "differing": differing,
        "wrong": bool(differing) and (level == "int" or runtime == "float64"),
        "codes": None if differing is None else verify["codes"],
        "frame_ms": bench["frame_ms"]["median"] if bench else None,
        "instructions_per_frame": bench.get("instructions_per_frame"),
        "bytes": bench.get("model_bytes", size),
    }


def _largest(runtimes: Mapping[str, Mapping[str, Any]]) -> list[int]:
    return [result["max_difference"] for result in runtimes.values()]


def versions() -> dict[str, str]:
    """Everything that had a hand in it: qgait, Python, the packages, the emulator, the machine."""
    found = {"qgait": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    emulator = qemu_version()
    if emulator is not None:
        found["QEMU"] = emulator
    return found | {"machine": machine()}


def qemu_version() -> str | None:
    """The version of the user-mode emulator for 64-bit ARM; None if it is not installed."""
    program = shutil.which("qemu-aarch64")
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return said.split("\n")[0].removeprefix("qemu-aarch64 version ") or None


def machine() -> str:
    """The processor's name as the Linux kernel gives it, and how many of its cores may be used."""
    name = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"
