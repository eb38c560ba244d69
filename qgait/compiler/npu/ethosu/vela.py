"""Runs Vela, Arm's compiler for Ethos-U, in a process of its own."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qgait.compiler.npu.ethosu.vela_output import read_segment
from qgait.errors import QgaitError
from qgait.files import require_work_space
from qgait.runtime.ethosu.segment import CompiledSegment
from qgait.targets.accelerators import NpuTarget

PACKAGE, VERSION = "ethos-u-vela", "5.2.0"
INSTALL = f"pip install {PACKAGE}=={VERSION} (or pip install 'qgait[npu]')."
CONFIG = "Arm/vela.ini"  # ships with Vela
ANSWER_WITHIN = 600  # seconds

Strategy = Literal["Performance", "Size"]


@dataclass(frozen=True)
class VelaOptions:
    """How to compile; what is None is the accelerator's default.

    ``system_config`` and ``memory_mode`` are sections of Vela's vela.ini, or of the file ``config``, such as that of a
    board's vendor. ``arena_cache`` in bytes is Vela's --arena-cache-size, ``optimise`` its strategy: fewest cycles, or
    least memory.
    """

    system_config: str | None = None
    memory_mode: str | None = None
    arena_cache: int | None = None
    optimise: Strategy = "Performance"
    config: Path | None = None


class VelaError(QgaitError):
    """Vela said no to a graph. ``reason`` is what it said, ``log`` the file with everything that it printed."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        super().__init__(f"Vela did not compile {name}: {reason}.", f"see {log}.")
        self.name = name
        self.reason = reason
        self.log = log

    def __reduce__(self) -> tuple[type[VelaError], tuple[str, str, Path]]:  # type: ignore[override]
        return type(self), (self.name, self.reason, self.log)


def compile_segment(
    tosa: bytes, accelerator: NpuTarget, options: VelaOptions = VelaOptions(), name: str = "segment"
) -> CompiledSegment:
    """``tosa`` (a TOSA 1.0 flatbuffer) as a command stream for ``accelerator``.

    QgaitError when Vela is missing or of another version; VelaError when it refuses the graph or crashes.
    """
    with _vela(tosa, accelerator, options, name, "raw") as folder:
        return read_segment(folder, name, accelerator.name, tosa)


def compile_tflite(
    tosa: bytes, accelerator: NpuTarget, options: VelaOptions = VelaOptions(), name: str = "segment"
) -> bytes:
    """The same as a TensorFlow Lite file with one Ethos-U operator; errors as `compile_segment`."""
    with _vela(tosa, accelerator, options, name, "tflite") as folder:
        return (folder / f"{name}_vela.tflite").read_bytes()


def check_version() -> None:
    """QgaitError unless Vela is there in the version whose output qgait reads."""
    try:
        found = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise QgaitError(f"Compiling for Ethos-U needs Vela {VERSION}, which is not installed.", INSTALL) from None
    if found != VERSION:
        raise QgaitError(f"Vela {found} is installed, and qgait reads what Vela {VERSION} writes.", INSTALL)


def arguments(accelerator: NpuTarget, options: VelaOptions) -> list[str]:
    """What Vela is called with, but for the file and where the output goes."""
    words = ["--accelerator-config", accelerator.name, "--config", CONFIG]
    if options.config is not None:
        words += ["--config", str(options.config.absolute())]
    words += ["--system-config", options.system_config or accelerator.system_config]
    words += ["--memory-mode", options.memory_mode or accelerator.memory_mode]
    words += ["--optimise", options.optimise]
    if options.arena_cache is not None:
        words += ["--arena-cache-size", str(options.arena_cache)]
    return words


@contextmanager
def _vela(tosa: bytes, accelerator: NpuTarget, options: VelaOptions, name: str, form: str) -> Iterator[Path]:
    """The folder that Vela wrote to. It stays, with the graph and a log, when Vela did not finish."""
    check_version()
    require_work_space()
    folder = Path(tempfile.mkdtemp(prefix="qgait-vela-"))
    graph, log = folder / f"{name}.tosa", folder / "vela.log"
    graph.write_bytes(tosa)
    command = [sys.executable, "-m", "ethosu.vela", graph.name, *arguments(accelerator, options)]
    command += ["--output-format", form, "--output-dir", ".", "--verbose-performance"]
    with log.open("wb") as text:
        try:
            done = subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=text, stderr=text, timeout=ANSWER_WITHIN
            )
        except subprocess.TimeoutExpired:
            raise VelaError(name, f"it did not answer within {ANSWER_WITHIN} seconds", log) from None
    written = folder / f"{name}_vela.{'npz' if form == 'raw' else 'tflite'}"
    if done.returncode != 0 or not written.is_file():
        raise VelaError(name, _reason(done.returncode, log.read_text(errors="replace")), log)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reason(code: int, printed: str) -> str:
    """Vela's own words: what follows the name of the exception, in one line."""
    if code < 0:
        return f"it was stopped by signal {-code}"
    lines = [line.strip() for line in printed.splitlines()]
    starts = [i for i, line in enumerate(lines) if "Error: " in line and not line.startswith("File ")]
    if not starts:
        return lines[-1] if lines and lines[-1] else f"it ended with code {code} and no message"
    first, *more = (line for line in lines[starts[-1] :] if line)
    said = " ".join([first.split("Error: ", 1)[1], *more])
    return said.removeprefix("Compilation failed: ").rstrip(".")
