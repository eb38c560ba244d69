"""The integers of a quantized network in memory, compiled for this machine: what embeds a test set in seconds."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.extras import install
from qgait.files import work_folder
from qgait.runtime.dequantizer import Dequantizer
from qgait.verification.parity import Clip, Codes

if TYPE_CHECKING:
    from qgait.export.graph import Graph
    from qgait.quantizers.simulated import SimulatedNetwork
    from qgait.runtime.compiled import Stream

HOST = "host"
EmbedMany = Callable[[Sequence[Clip]], NDArray[np.float32]]


@dataclass(frozen=True)
class HostRuntime:
    """A graph compiled for this machine; several threads may call it at once."""

    _streams: SimpleQueue[Stream]  # each has the arena of one clip
    _pool: ThreadPoolExecutor

    def embed_many(self, clips: Sequence[Clip]) -> list[Codes]:
        """Embedding codes int8 [P, C] of each clip uint8 [frames, H, W]."""
        return list(self._pool.map(self._codes, clips))

    def _codes(self, clip: Clip) -> Codes:
        stream = self._streams.get()
        try:
            return stream.embed(stream.bundle.check_clip(clip))
        finally:
            self._streams.put(stream)


@contextmanager
def host_runtime(graph: Graph, threads: int) -> Iterator[HostRuntime]:
    """``graph`` compiled for this machine, in a temporary folder as long as the block lasts; ``threads`` share clips.

    Needs TVM and zig. QgaitError where it cannot be compiled, ParityError when its self-test fails on this processor.
    """
    from qgait.compiler.bundle import write
    from qgait.export.probe import probe_clips
    from qgait.runtime.compiled import Stream
    from qgait.targets.processors import find

    with work_folder() as folder, ThreadPoolExecutor(threads, "embedding") as pool:
        bundle = write(graph, find(HOST), folder / "bundle", probe_clips(graph))
        streams: SimpleQueue[Stream] = SimpleQueue()
        for _ in range(threads):
            streams.put(Stream(bundle))
        yield HostRuntime(streams, pool)


def installed() -> bool:
    """Whether the packages that compile are there."""
    return all(importlib.util.find_spec(name) for name in ("tvm", "ziglang"))


@contextmanager
def compiled_for_host(network: SimulatedNetwork, threads: int = 1) -> Iterator[EmbedMany]:
    """Real embeddings float32 [n, P, C] of clips: those of the fake level, by machine code; see ``host_runtime``.

    QgaitError also where the network cannot be exported.
    """
    from qgait.export.folding import fold

    graph = fold(network)
    dequantizer = Dequantizer.of(graph)
    with host_runtime(graph, threads) as runtime:
        yield lambda clips: dequantizer.real(np.stack(runtime.embed_many(clips)))


class HostIntegers:
    """``compiled_for_host`` for whoever can do without: None where it is not possible, and standard error says why."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    @contextmanager
    def __call__(self, network: SimulatedNetwork, threads: int) -> Iterator[EmbedMany | None]:
        """See ``compiled_for_host``."""
        with ExitStack() as stack:
            embed: EmbedMany | None = None
            try:
                embed = stack.enter_context(compiled_for_host(network, threads))
            except QgaitError as error:
                self._say(error.problem)
            except ModuleNotFoundError as error:
                if error.name is None or error.name.split(".")[0] == "qgait":
                    raise
                self._say(f"The package {error.name} is not installed ({install(error.name)}).")
            yield embed

    def _say(self, why: str) -> None:
        """Once, however often the network is evaluated."""
        if why not in self._said:
            self._said.add(why)
            print(f"{why} So torch evaluates the quantized network, which takes longer.", file=sys.stderr)
