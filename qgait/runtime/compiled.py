"""Running a bundle from Python with numpy only: in this process, or under QEMU when it is for another processor."""

from __future__ import annotations

import ctypes
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from qgait.errors import ParityError, QgaitError
from qgait.runtime.bundle import TRACER, Bundle
from qgait.runtime.qemu import launcher
from qgait.targets.processor import machine_name, machine_of
from qgait.targets.processors import Target
from qgait.targets.qemu_system import emulator, system_command

Clip = NDArray[np.uint8]
Codes = NDArray[np.int8]


class Compiled:
    """A bundle as a runtime; ``name`` is its target.

    Raises QgaitError when this machine can neither run nor emulate the target, ParityError when the self-test fails
    on this processor.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.name = bundle.target.name
        self._stream = None if start(bundle) else Stream(bundle)

    def embed(self, clip: Clip) -> Codes:
        """Embedding codes int8 [parts, channels] of a clip uint8 [frames, H, W]."""
        return self.embed_many([clip])[0]

    def embed_many(self, clips: Iterable[Clip]) -> list[Codes]:
        """One embedding a clip; under QEMU all clips go through one process."""
        checked = [self.bundle.check_clip(clip) for clip in clips]
        if self._stream is not None:
            return [self._stream.embed(clip) for clip in checked]
        shape = self.bundle.embedding_shape
        codes = self._run(self.bundle.gait_run, ["embed"], checked)
        if len(codes) != len(checked) * shape[0] * shape[1]:
            raise ParityError(f"gait-run answered {len(codes)} codes for {len(checked)} clips.")
        return list(np.frombuffer(codes, np.int8).reshape(len(checked), *shape).copy())

    def trace(self, clip: Clip) -> dict[str, Codes]:
        """What every kernel wrote, by tensor name: frame tensors [frames, ...], clip tensors and maxima [1, ...].

        Tensors that fusion removed are not there. QgaitError when the bundle was written without ``trace``.
        """
        if TRACER not in self.bundle.manifest["files"]:
            raise QgaitError(f"The bundle {self.bundle.path} has no {TRACER}.", "compile it with `trace=True`.")
        written = self._run(self.bundle.path.absolute() / TRACER, [], [self.bundle.check_clip(clip)])
        memory = self.bundle.manifest["memory"]
        results = [name for kernel in self.bundle.manifest["kernels"] for name in kernel["outputs"]]
        records: dict[str, list[Codes]] = {}
        position = 0
        while position < len(written):
            number, size = struct.unpack_from("<II", written, position)
            name = results[number]
            codes = np.frombuffer(written, np.int8, size, position + 8)
            records.setdefault(name, []).append(codes.reshape(memory["tensors"][name]["shape"]))
            position += 8 + size
        return {name: np.stack(found[-1:] if name in memory["state"] else found) for name, found in records.items()}

    def _run(self, program: Path, arguments: Sequence[str], clips: Sequence[Clip]) -> bytes:
        """What ``program`` answers to the clips; without an operating system they go through files."""
        bare = self.bundle.target.bare_metal
        with tempfile.TemporaryDirectory(prefix="qgait-") as folder:
            given, answer = Path(folder) / "clips", Path(folder) / "codes"
            with given.open("wb") as stream:
                write_clips(stream, clips, self.bundle.frame_shape)
            command = invocation(self.bundle, program, *arguments, *([given.name, answer.name] if bare else []))
            with given.open("rb") as stream:
                done = subprocess.run(command, stdin=stream, capture_output=True, cwd=folder)
            if done.returncode != 0:
                raise QgaitError(f"{program} stopped: {reason(done.returncode, done.stderr)}", "see qgait bench.")
            return answer.read_bytes() if bare else done.stdout


class Stream:
    """Frames of one walker one at a time, through libgait.so in this process; constant memory.

    Raises QgaitError when the bundle is for another processor, ParityError when its self-test fails on this one.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._library = load(bundle)
        self._arena = ctypes.create_string_buffer(self._library.gait_arena_size())
        self.reset()

    def reset(self) -> None:
        """Forgets every frame."""
        self._library.gait_reset(self._arena)

    def push(self, frame: Clip) -> None:
        """Takes a silhouette uint8 [H, W]."""
        checked = self.bundle.check_clip(np.asarray(frame)[np.newaxis])
        self._library.gait_push(self._arena, checked.ctypes.data)

    def embedding(self) -> Codes:
        """Codes int8 [parts, channels] of everything pushed so far; pushing may go on. QgaitError before the first."""
        codes = np.empty(self.bundle.embedding_shape, np.int8)
        if self._library.gait_embedding(self._arena, codes.ctypes.data) != 0:
            raise QgaitError("No frame was pushed yet.", "push at least one silhouette before asking for an embedding.")
        return codes

    def embed(self, clip: Clip) -> Codes:
        """Codes of one clip uint8 [frames, H, W], from a reset on."""
        self.reset()
        for frame in clip:
            self.push(frame)
        return self.embedding()


def load(bundle: Bundle) -> ctypes.CDLL:
    """libgait.so with the types of its four calls.

    The self-test runs first in a process of its own: on a processor that lacks the instructions of the target it
    stops there and not in this process.
    """
    if start(bundle):
        raise QgaitError(
            f"The bundle {bundle.path} is for {machine_name(bundle.target.elf_machine)} and cannot be loaded here.",
            "compile it for this machine (`target=host`).",
        )
    selftest(bundle)
    return functions(bundle.path / "libgait.so")


def functions(path: Path) -> ctypes.CDLL:
    """A shared library with the types of the four calls."""
    library = ctypes.CDLL(str(path.absolute()))
    library.gait_arena_size.restype = ctypes.c_size_t
    library.gait_reset.argtypes = [ctypes.c_void_p]
    library.gait_reset.restype = None
    library.gait_push.argtypes = library.gait_embedding.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    return library


def start(bundle: Bundle) -> list[str]:
    """What goes in front of the bundle's programs on this machine; QgaitError when they cannot run."""
    target = bundle.target
    if bundle.npu is not None:
        raise QgaitError(
            f"The bundle {bundle.path} needs an {bundle.target_name}, and there is none here.",
            "link its libgait.a into the board's firmware, or verify its streams on the runtime npu.",
        )
    for name in ("gait-run.elf",) if target.bare_metal else ("libgait.so", "gait-run"):
        machine = machine_of(bundle.path / name)
        if machine != target.elf_machine:
            raise QgaitError(
                f"{name} in {bundle.path} is for {machine_name(machine)}, "
                f"its manifest says {machine_name(target.elf_machine)}.",
                "compile the bundle again.",
            )
    return before(target)


def invocation(bundle: Bundle, program: Path, *arguments: str) -> list[str]:
    """The command that runs one of the bundle's programs on this machine; QgaitError when that cannot be."""
    start(bundle)
    return command_of(bundle.target, program, *arguments)


def before(target: Target) -> list[str]:
    """What goes in front of a program for ``target`` on this machine; QgaitError when it cannot run here."""
    return emulator(target) if target.bare_metal else launcher(target.elf_machine, target.qemu or ())


def command_of(target: Target, program: Path, *arguments: str) -> list[str]:
    """The command that runs a program for ``target`` on this machine; QgaitError when that cannot be."""
    if not target.bare_metal:
        return [*before(target), str(program), *arguments]
    return system_command(before(target), program, arguments)


def selftest(bundle: Bundle) -> str:
    """What ``gait-run selftest`` prints on this machine or under QEMU.

    ParityError with the first difference if there is one, QgaitError if the program cannot run here.
    """
    command = invocation(bundle, bundle.gait_run, "selftest")
    done = subprocess.run(command, capture_output=True, text=True, cwd=bundle.path)
    if done.returncode == 1:
        raise ParityError(f"The self-test of {bundle.path} failed: {first_difference(done.stdout)}")
    if done.returncode != 0:
        raise QgaitError(
            f"The self-test of {bundle.path} could not run: {reason(done.returncode, done.stderr.encode())}",
            "compile the bundle for this processor (`qgait targets`).",
        )
    return done.stdout


def first_difference(printed: str) -> str:
    """The first line of a self-test that reports no success, or nothing."""
    return next((line for line in printed.splitlines() if not line.endswith("codes are equal")), "")


def write_clips(file: IO[bytes], clips: Iterable[Clip], shape: tuple[int, int]) -> None:
    """Clips in the framing that ``gait-run embed`` reads."""
    file.write(b"GAIT" + struct.pack("<HH", *shape))
    for clip in clips:
        file.write(struct.pack("<I", len(clip)))
        file.write(clip.tobytes())


def reason(code: int, stderr: bytes) -> str:
    """A sentence for a program that ended with ``code``."""
    if code < 0:
        name = signal.Signals(-code).name
        hint = ": this processor lacks instructions of the target" if name == "SIGILL" else ""
        return f"it was stopped by {name}{hint}."
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it ended with code {code}."
