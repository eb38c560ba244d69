"""The library beside an NPU: embeddings of growing clips are the reference's, and mistakes at the border are seen."""

from __future__ import annotations

import atexit
import ctypes
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from example_graphs import gaitbase_graph, gaitset_graph, silhouettes, temporal_graph, tiny_graph
from laid_out_segments import by_reference, calls_of
from numpy.typing import NDArray

from qgait.compiler.assembly import assemble
from qgait.compiler.npu.call import NpuCall
from qgait.errors import ParityError
from qgait.export.graph import Graph
from qgait.export.segments import BEFORE
from qgait.runtime.bundle_names import Names
from qgait.runtime.ethosu.segment import CompiledSegment
from qgait.runtime.library import Library
from qgait.runtime.reference import Reference
from qgait.targets.processors import host
from qgait.verification.stand_in import Codes, Run, StandIn, build

GRAPHS: dict[str, Callable[[], Graph]] = {
    "tiny": tiny_graph,
    "gaitset": lambda: gaitset_graph(channels=(4, 6, 8)),
    "gaitbase": lambda: gaitbase_graph(channels=(4, 6, 8, 10)),
    "temporal": temporal_graph,
}


@cache
def graph(name: str) -> Graph:
    return GRAPHS[name]()


@cache
def runs(name: str) -> list[NpuCall]:
    return calls_of(graph(name))


@cache
def built(name: str) -> Path:
    """The library of an example graph."""
    folder = Path(tempfile.mkdtemp(prefix="qgait-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return build(assemble(graph(name), host(), runs(name)), folder)


def reference_of(name: str) -> Run:
    return by_reference(graph(name), [call.segment for call in runs(name)])


def stand_in(name: str, run: Run | None = None, calls: Sequence[NpuCall] = ()) -> StandIn:
    return StandIn(built(name), graph(name), calls or runs(name), run or reference_of(name))


def walk(name: str, frames: int, seed: int = 5) -> NDArray[np.uint8]:
    height, width, _ = graph(name).tensors[graph(name).input].shape
    return silhouettes(frames, seed, height, width)


def growing(library: StandIn, clip: NDArray[np.uint8]) -> Iterator[Codes]:
    """The embedding after every frame."""
    library.reset()
    for frame in clip:
        library.push(frame)
        yield library.embedding()


def differing(name: str, library: StandIn, frames: int) -> int:
    """Codes that differ from the reference's, over the clips of 1 to ``frames`` frames."""
    clip = walk(name, frames)
    wanted = Reference(graph(name)).embed_many([clip[: i + 1] for i in range(frames)])
    assert all(codes.min() < codes.max() for codes in wanted)
    found = list(growing(library, clip))
    return sum(int(np.count_nonzero(a != b)) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("name", "frames"), [("gaitset", 3), ("gaitbase", 3), ("temporal", 12)])
def test_every_embedding_of_a_growing_clip_is_the_references(name: str, frames: int) -> None:
    assert differing(name, stand_in(name), frames) == 0


@pytest.fixture(scope="module")
def tiny() -> StandIn:
    """The tiny network's library, without anything wrong."""
    return stand_in("tiny")


def test_a_walker_leaves_nothing_for_the_next_one(tiny: StandIn) -> None:
    first, second = walk("tiny", 4, 1), walk("tiny", 3, 2)
    wanted = Reference(graph("tiny")).embed_many([first, second])
    for found, codes in zip(tiny.embed_many([first, second]), wanted, strict=True):
        np.testing.assert_array_equal(found, codes)
    assert differing("tiny", tiny, 3) == 0


def wrongly(name: str, change: Callable[[dict[str, Codes], dict[str, Codes]], None], segment: str) -> Run:
    """The reference, whose outputs of one segment are changed: ``change(inputs, outputs)``."""
    right = reference_of(name)

    def run(compiled: CompiledSegment, inputs: Mapping[str, Codes]) -> dict[str, Codes]:
        given, outputs = dict(inputs), dict(right(compiled, inputs))
        if compiled.name == segment:
            change(given, outputs)
        return outputs

    return run


def test_one_wrong_code_of_a_segment_is_seen() -> None:
    def flip(inputs: dict[str, Codes], outputs: dict[str, Codes]) -> None:
        outputs["max3"][:] ^= 8

    assert differing("tiny", stand_in("tiny", wrongly("tiny", flip, "frame")), 2) > 0


def test_a_running_maximum_that_forgets_is_seen() -> None:
    def forget(inputs: dict[str, Codes], outputs: dict[str, Codes]) -> None:
        inputs |= {name: np.full_like(codes, -128) for name, codes in inputs.items() if name.endswith(BEFORE)}
        outputs |= reference_of("tiny")(runs("tiny")[0].compiled, inputs)

    library = stand_in("tiny", wrongly("tiny", forget, "frame"))
    assert differing("tiny", library, 1) == 0  # the first frame has nothing to remember
    assert differing("tiny", library, 3) > 0


def test_inputs_at_each_others_places_are_seen() -> None:
    """What the segment reads is not where the library wrote it."""
    call = runs("gaitset")[0]
    first, second = (port for port in call.compiled.inputs if port.name in ("max16_before", "max26_before"))
    swapped = {first.name: second.offset, second.name: first.offset}
    ports = tuple(replace(port, offset=swapped.get(port.name, port.offset)) for port in call.compiled.inputs)
    wrong = [NpuCall(call.segment, replace(call.compiled, inputs=ports)), *runs("gaitset")[1:]]
    assert differing("gaitset", stand_in("gaitset", calls=wrong), 2) > 0


def test_outputs_at_another_place_are_seen() -> None:
    call = runs("temporal")[2]
    moved = tuple(replace(port, offset=port.offset + 16) for port in call.compiled.outputs)
    roomy = replace(call.compiled, outputs=moved, scratch=(1, call.scratch_bytes + 16))
    calls = [NpuCall(call.segment, roomy) if other is call else other for other in runs("temporal")]
    assert differing("temporal", stand_in("temporal", calls=calls), 4) > 0


class Failing:
    """The reference, but for the runs in ``fails`` (counted from 0)."""

    def __init__(self, name: str, fails: set[int]) -> None:
        self.run, self.fails, self.count = reference_of(name), fails, 0

    def __call__(self, compiled: CompiledSegment, inputs: Mapping[str, Codes]) -> Mapping[str, Codes]:
        self.count += 1
        if self.count - 1 in self.fails:
            raise ConnectionError("no NPU")
        return self.run(compiled, inputs)


@pytest.mark.parametrize("name", ["tiny", "temporal"])
def test_a_frame_that_fails_makes_the_arena_useless_until_it_is_reset(name: str) -> None:
    library = stand_in(name, Failing(name, {0}))
    clip = walk(name, 4)
    with pytest.raises(ConnectionError):
        for frame in clip:  # the first ones may only be kept
            library.push(frame)
    with pytest.raises(ParityError, match="answered 2"):
        library.push(clip[0])
    with pytest.raises(ParityError, match="answered 2"):
        library.embedding()
    assert differing(name, library, 4) == 0


def test_an_embedding_that_fails_can_be_asked_for_again() -> None:
    library = stand_in("tiny", Failing("tiny", {2}))
    clip = walk("tiny", 3)
    library.push(clip[0])
    library.push(clip[1])
    with pytest.raises(ConnectionError):
        library.embedding()
    library.push(clip[2])
    np.testing.assert_array_equal(library.embedding(), Reference(graph("tiny")).embed(clip))


def test_the_answer_to_a_failed_run_is_gait_npu(tiny: StandIn) -> None:
    Library(built("tiny"), Names()).loaded.gait_npu_stand_in(None)  # nothing runs
    arena, frame = ctypes.create_string_buffer(1 << 20), walk("tiny", 1)[0]
    library = Library(built("tiny"), Names())
    library.reset(arena)
    assert library.push(arena, frame.ctypes.data) == 4
    assert library.push(arena, frame.ctypes.data) == 2
