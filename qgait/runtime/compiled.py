"""Running a bundle from Python with numpy only: in this process, or under QEMU when it is for another processor."""

from __future__ import annotations

import ctypes
import math
import struct
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from qgait.errors import ParityError, QgaitError
from qgait.files import work_folder
from qgait.runtime.bundle import Bundle
from qgait.runtime.dequantizer import Dequantizer
from qgait.runtime.description import Description
from qgait.runtime.library import load
from qgait.runtime.programs import invocation, reason, start

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
        self.dequantizer = Dequantizer(bundle.scale, bundle.zero_point)
        self._stream = None if start(bundle) else Stream(bundle)
        if self._stream is None:
            _describe(bundle).check(bundle)

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
        written = self._run(self.bundle.tracer, [], [self.bundle.check_clip(clip)])
        memory = self.bundle.manifest["memory"]
        results = [name for kernel in self.bundle.manifest["kernels"] for name in kernel["outputs"]]
        records: dict[str, list[Codes]] = {}
        position = 0
        while position < len(written):
            number, size = struct.unpack_from("<II", written, position)
            name = results[number]
            codes = np.frombuffer(written, np.int8, size, position + 8)
            shape = memory["tensors"][name]["shape"]
            if size != math.prod(shape):
                raise QgaitError(
                    f"{name} has {size} codes in {self.bundle.tracer}, and {shape} in its manifest.",
                    "compile the bundle again.",
                )
            records.setdefault(name, []).append(codes.reshape(shape))
            position += 8 + size
        return {name: np.stack(found[-1:] if name in memory["state"] else found) for name, found in records.items()}

    def _run(self, program: Path, arguments: Sequence[str], clips: Sequence[Clip]) -> bytes:
        """What ``program`` answers to the clips; without an operating system they go through files."""
        bare = self.bundle.target.bare_metal
        with work_folder() as folder:
            given, answer = folder / "clips", folder / "codes"
            with given.open("wb") as stream:
                write_clips(stream, clips, self.bundle.frame_shape)
            command = invocation(self.bundle, program, *arguments, *([given.name, answer.name] if bare else []))
            with given.open("rb") as stream:
                done = subprocess.run(command, stdin=stream, capture_output=True, cwd=folder)
            if done.returncode != 0:
                raise QgaitError(f"{program} stopped: {reason(done.returncode, done.stderr)}", "see qgait bench.")
            return answer.read_bytes() if bare else done.stdout


class Stream:
    """Frames of one walker one at a time, through its library in this process; constant memory.

    Raises QgaitError when the bundle is for another processor, ParityError when its self-test fails on this one.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._library = load(bundle)
        self._arena = ctypes.create_string_buffer(self._library.arena_size())
        self.reset()

    def reset(self) -> None:
        """Forgets every frame."""
        self._library.reset(self._arena)

    def push(self, frame: Clip) -> None:
        """Takes a silhouette uint8 [H, W]."""
        checked = self.bundle.check_clip(np.asarray(frame)[np.newaxis])
        self._library.push(self._arena, checked.ctypes.data)

    def embedding(self) -> Codes:
        """Codes int8 [parts, channels] of everything pushed so far; pushing may go on. QgaitError before the first."""
        codes = np.empty(self._library.description.embedding_shape, np.int8)
        if self._library.embedding(self._arena, codes.ctypes.data) != 0:
            raise QgaitError("No frame was pushed yet.", "push at least one silhouette before asking for an embedding.")
        return codes

    def embed(self, clip: Clip) -> Codes:
        """Codes of one clip uint8 [frames, H, W], from a reset on."""
        self.reset()
        for frame in clip:
            self.push(frame)
        return self.embedding()


def _describe(bundle: Bundle) -> Description:
    """What the program of a bundle for another processor says of itself."""
    done = subprocess.run(invocation(bundle, bundle.gait_run, "describe"), capture_output=True, cwd=bundle.path)
    if done.returncode != 0:
        raise QgaitError(f"{bundle.gait_run} stopped: {reason(done.returncode, done.stderr)}", "see qgait bench.")
    found = Description.printed(done.stdout.decode("ascii", "replace"))
    if found is None:
        raise QgaitError(f"{bundle.gait_run} does not say what it was built with.", "compile the bundle again.")
    return found


def write_clips(file: IO[bytes], clips: Iterable[Clip], shape: tuple[int, int]) -> None:
    """Clips in the framing that ``gait-run embed`` reads."""
    file.write(b"GAIT" + struct.pack("<HH", *shape))
    for clip in clips:
        file.write(struct.pack("<I", len(clip)))
        file.write(clip.tobytes())
