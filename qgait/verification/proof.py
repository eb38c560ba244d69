"""What can be proved of an NPU's bundle without the NPU, on the clips of its self-test.

- The command streams: the library is built for this machine with the interpreter in the NPU's place, and every code of
  every embedding is compared with the reference. For an Ethos-U85 there is no interpreter: TOSA's reference model
  runs what Vela was given, so this shows the library and the graph, and not what Vela made of it.
- The library of the host: the bundle's own libgait.a runs on its processor or in an emulator. Runs of the NPU are
  played back, after every byte that they are given was compared.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qgait.compiler.assembly import assemble
from qgait.compiler.bundle import HARNESS
from qgait.compiler.link import Linker
from qgait.compiler.npu.plan import NpuPlan
from qgait.compiler.npu_bundle import calls
from qgait.errors import ParityError, QgaitError
from qgait.files import work_folder
from qgait.progress import Progress, untold
from qgait.runtime.bundle import Bundle
from qgait.runtime.ethosu.interpreter.interpreter import Interpreter
from qgait.runtime.ethosu.segment import CompiledSegment
from qgait.runtime.programs import command_of, reason
from qgait.runtime.selftest import first_difference
from qgait.runtime.tosa_model import execute
from qgait.targets.processors import host
from qgait.verification.stand_in import Codes, Run, StandIn, build

REPLAY, RUNS = "npu_replay.c", "npu.runs"


@dataclass(frozen=True)
class Proof:
    """``codes`` embedding codes were compared, and all were equal.

    ``interpreted``: whether the command streams were executed. ``emulated``: whether the host's own library ran; if
    not, ``why_not`` says what it takes.
    """

    codes: int
    interpreted: bool
    emulated: bool
    why_not: str | None

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was proved, for people."""
        streams = (
            "The command streams ran in qgait's interpreter, a reading of public sources and not silicon"
            if self.interpreted
            else "TOSA's reference model ran what Vela was given; the command streams were not executed, "
            "for an Ethos-U85 has no interpreter"
        )
        library = (
            "The host's library ran with these runs played back."
            if self.emulated
            else f"It did not run: {self.why_not}"
        )
        return (f"{streams}; {self.codes} codes of the library around them are the reference's.", library)


def prove(bundle: Bundle, plan: NpuPlan, report: Progress = untold) -> Proof:
    """Runs the self-test of ``bundle``, which was written from ``plan``. ParityError at the first difference."""
    interpreted = plan.accelerator.family != "u85"
    recorder = _Recorder(_interpreters(plan) if interpreted else _reference_model(plan))
    library = _library(plan, recorder)
    codes = 0
    count = len(bundle.manifest["selftest"]["frames"])
    for number in range(count):
        codes += _play(bundle, library, number)
        report("interpreting the command streams" if interpreted else "running the NPU's graphs", number + 1, count)
    why_not = _played_back(bundle, bytes(recorder.written))
    return Proof(codes, interpreted, why_not is None, why_not)


class _Recorder:
    """Runs, and writes down what npu_replay.c reads."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.written = bytearray()

    def __call__(self, compiled: CompiledSegment, inputs: Mapping[str, Codes]) -> Mapping[str, Codes]:
        outputs = self._run(compiled, inputs)
        self.written += compiled.name.encode() + b"\0"
        for ports, codes in ((compiled.inputs, inputs), (compiled.outputs, outputs)):
            for port in ports:
                self.written += codes[port.name].tobytes()
        return outputs


def _interpreters(plan: NpuPlan) -> Run:
    ready = {name: Interpreter(compiled) for name, compiled in plan.compiled.items()}
    return lambda compiled, inputs: ready[compiled.name].run(dict(inputs))


def _reference_model(plan: NpuPlan) -> Run:
    made = {segment.name: segment.outputs for segment in plan.partition.segments}

    def run(compiled: CompiledSegment, inputs: Mapping[str, Codes]) -> dict[str, Codes]:
        values = {name: codes[np.newaxis] for name, codes in inputs.items()}
        found = execute(plan.tosa[compiled.name], values, made[compiled.name])
        return {name: codes[0] for name, codes in found.items()}

    return run


def _library(plan: NpuPlan, run: Run) -> StandIn:
    runs = calls(plan)
    assembly = assemble(plan.graph, host(), runs)
    with work_folder() as folder:
        return StandIn(build(assembly, folder), plan.graph, runs, run)


def _play(bundle: Bundle, library: StandIn, number: int) -> int:
    """A clip in the order of calls of ``gait-run selftest``; answers how many codes were equal."""
    stem = bundle.path / "selftest" / f"clip{number}"
    clip = np.fromfile(stem.with_suffix(".frames"), np.uint8).reshape(-1, *bundle.frame_shape)
    wanted = np.fromfile(stem.with_suffix(".codes"), np.int8).reshape(bundle.embedding_shape)
    library.reset()
    for i, frame in enumerate(clip):
        library.push(frame)
        if i == 0:
            library.embedding()
    found = library.embedding()
    different = int(np.count_nonzero(found != wanted))
    if different:
        raise ParityError(
            f"{different} of {wanted.size} codes of self-test clip {number} differ between the reference and the NPU's "
            "command streams with the library beside them."
        )
    return wanted.size


def _played_back(bundle: Bundle, runs: bytes) -> str | None:
    """The bundle's own library with ``runs`` played back; what is missing if it cannot run here."""
    with work_folder() as work:
        program = work / bundle.gait_run.name
        try:
            command = command_of(bundle.target, program, "selftest")
        except QgaitError as error:
            return f"{error.problem} Fix: {error.fix}"
        Linker(bundle.target, work, bundle.names.prefix).program([*HARNESS, REPLAY], bundle.path, program)
        shutil.copytree(bundle.path / "selftest", work / "selftest")
        play_back(command, work, runs)
    return None


def play_back(command: Sequence[str], folder: Path, runs: bytes) -> None:
    """``command`` is the self-test in ``folder``, linked with npu_replay.c. ParityError at the first difference."""
    (folder / RUNS).write_bytes(runs)
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode == 1:
        raise ParityError(f"The self-test of the library beside the NPU failed: {first_difference(done.stdout)}")
    if done.returncode != 0:
        said = reason(done.returncode, done.stderr.encode())
        raise QgaitError(f"The self-test of the library beside the NPU could not run: {said}", "report this line.")
