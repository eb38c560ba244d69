"""The integers of a quantized network in memory, compiled for this machine: what embeds a test set in seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
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
    from qgait.quantizers.simulated import SimulatedNetwork

EmbedMany = Callable[[Sequence[Clip]], NDArray[np.float32]]


@contextmanager
def compiled_for_host(network: SimulatedNetwork, threads: int = 1) -> Iterator[EmbedMany]:
    """Real embeddings float32 [n, P, C] of clips uint8 [frames, H, W]: those of the fake level, by machine code.

    The library lies in a temporary folder as long as the block lasts; ``threads`` threads share the clips, and several
    may call it at once. Needs TVM and zig. QgaitError where the network cannot be exported or compiled, ParityError
    when the self-test fails on this processor.
    """
    from qgait.compiler.bundle import write
    from qgait.export.folding import fold
    from qgait.export.probe import probe_clips
    from qgait.runtime.compiled import Stream
    from qgait.targets.processors import find

    graph = fold(network)
    dequantizer = Dequantizer.of(graph)
    with work_folder() as folder, ThreadPoolExecutor(threads, "embedding") as pool:
        bundle = write(graph, find("host"), folder / "bundle", probe_clips(graph))
        free: SimpleQueue[Stream] = SimpleQueue()  # each has the arena of one clip
        for _ in range(threads):
            free.put(Stream(bundle))

        def codes(clip: Clip) -> Codes:
            stream = free.get()
            try:
                return stream.embed(clip)
            finally:
                free.put(stream)

        yield lambda clips: dequantizer.real(np.stack(list(pool.map(codes, clips))))


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
