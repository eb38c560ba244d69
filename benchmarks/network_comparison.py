"""One network on every runtime: clip after clip, until enough of the compiled library's codes were compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hard_clips import Clip, HardClips
from network_series import digest
from numpy.typing import NDArray

from qgait.compiler import bundle
from qgait.errors import ParityError
from qgait.export.graph import Graph
from qgait.export.onnx.writer import write as write_onnx
from qgait.export.probe import probe_clips
from qgait.runtime.compiled import Compiled, Stream
from qgait.runtime.ort import OnnxRuntime
from qgait.runtime.reference import Reference
from qgait.targets.processors import all_targets, find

Codes = NDArray[np.int8]

WORK = 2e11  # multiply-accumulates of one network at most, those of OPERATOR_WORK included
OPERATOR_WORK = 3e6  # what an operator costs ONNX Runtime for a frame beside its multiplications
REFERENCE_EVERY, REFERENCE_WORK = 50, 2e9  # clips; multiply-accumulates of one clip
EMULATED_CODES, EMULATED_WORK = 100_000, 2e9  # of one network


@dataclass
class Compared:
    """What became of the codes of one network."""

    clips: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    not_counted: int = 0

    def row(self) -> dict[str, Any]:
        """For the file of counts."""
        total = max(int(self.histogram.sum()), 1)
        return {
            "clips": self.clips,
            "codes": self.codes,
            "distinct": int(np.count_nonzero(self.histogram)),
            "commonest": round(float(self.histogram.max()) / total, 4),
            "not_counted": self.not_counted,
        }


class DifferenceError(Exception):
    """A code of one runtime is not that of the library."""

    def __init__(self, runtime: str, clip: int, theirs: Codes, ours: Codes) -> None:
        where = np.argwhere(theirs != ours)
        part, channel = (int(at) for at in where[0])
        self.facts = {
            "runtime": runtime,
            "clip": clip,
            "index": [part, channel],
            "code": int(theirs[part, channel]),
            "library": int(ours[part, channel]),
            "codes_that_differ": len(where),
        }
        super().__init__(f"clip {clip}, part {part}, channel {channel}: {runtime} gives {self.facts['code']}")


class Network:
    """One network on all runtimes; ``compare`` goes through its clips."""

    def __init__(self, graph: Graph, people: Sequence[Clip], seed: list[int], folder: Path) -> None:
        self.graph, self.seed, self._folder = graph, seed, folder
        self.clips = HardClips(graph, people)
        onnx = folder / "model.onnx"
        write_onnx(graph, onnx)
        self.onnx_sha256 = digest(onnx)
        self._onnx = OnnxRuntime(onnx, threads=1)
        self._library = compiled_library(graph, folder / "host")
        self._reference = Reference(graph)
        self._seen: set[bytes] = set()

    def clip(self, number: int) -> tuple[str, Clip]:
        """Clip ``number`` and its kind."""
        return self.clips.clip([*self.seed, number])

    def compare(self, wanted: int, emulated: str | None) -> Compared:
        """Compares clips until ``wanted`` codes are counted or the network's share of work is done."""
        done, work, number = Compared(), 0.0, 0
        shown: list[tuple[int, Clip, Codes]] = []
        shown_codes, shown_work = 0, 0.0
        while done.codes.get("ONNX Runtime", 0) < wanted and (work < WORK or number < 4):
            _, clip = self.clip(number)
            ours = self._embed(clip, halfway=number % 4 == 0)
            cost = self._work(len(clip))
            self._equal("ONNX Runtime", number, self._onnx.embed(clip), ours)
            fresh = self._fresh(ours)
            if number % REFERENCE_EVERY == 0 and cost < REFERENCE_WORK:
                self._equal("reference", number, self._reference.embed(clip), ours)
                done.codes["reference"] = done.codes.get("reference", 0) + fresh
            if fresh:
                done.codes["ONNX Runtime"] = done.codes.get("ONNX Runtime", 0) + fresh
                done.histogram += np.bincount(ours.reshape(-1).astype(np.int64) + 128, minlength=256)
                if emulated and shown_codes < EMULATED_CODES and shown_work + cost < EMULATED_WORK:
                    shown.append((number, clip, ours))
                    shown_codes, shown_work = shown_codes + fresh, shown_work + cost
            else:
                done.not_counted += ours.size
            done.clips += 1
            work += cost + len(clip) * len(self.graph.ops) * OPERATOR_WORK
            number += 1
        if emulated and shown:
            runtime = Compiled(bundle.write(self.graph, find(emulated), self._folder / "arm", probe_clips(self.graph)))
            answers = runtime.embed_many([clip for _, clip, _ in shown])
            for (at, _, ours), theirs in zip(shown, answers, strict=True):
                self._equal(emulated, at, theirs, ours)
            done.codes[emulated] = shown_codes
        return done

    def _embed(self, clip: Clip, halfway: bool) -> Codes:
        """The library's codes; ``halfway`` also asks for an embedding on the way, which must change nothing."""
        self._library.reset()
        for i, frame in enumerate(clip):
            self._library.push(frame)
            if halfway and i == len(clip) // 2:
                self._library.embedding()
        return self._library.embedding()

    def _equal(self, runtime: str, clip: int, theirs: Codes, ours: Codes) -> None:
        if theirs.dtype != np.int8 or theirs.shape != ours.shape:
            raise ParityError(f"{runtime} gives {theirs.dtype} {list(theirs.shape)}, the library {list(ours.shape)}.")
        if not np.array_equal(theirs, ours):
            raise DifferenceError(runtime, clip, theirs, ours)

    def _fresh(self, codes: Codes) -> int:
        """How many codes count: none of an embedding that is constant or was there before."""
        mark = hashlib.blake2b(codes.tobytes(), digest_size=16).digest()
        if codes.min() == codes.max() or mark in self._seen:
            return 0
        self._seen.add(mark)
        return codes.size

    def _work(self, frames: int) -> float:
        return float(self.graph.frame_macs * frames + self.graph.clip_macs)


def compiled_library(graph: Graph, folder: Path) -> Stream:
    """``graph`` compiled for this machine and loaded into this process."""
    return Stream(bundle.write(graph, find("host"), folder, probe_clips(graph)))


def emulated_targets() -> list[str]:
    """One ARM target of each instruction set and emulator."""
    kinds: dict[tuple[object, ...], str] = {}
    for target in all_targets():
        if target.qemu is not None:
            kinds.setdefault((target.isa, target.qemu), target.name)
    return list(kinds.values())
