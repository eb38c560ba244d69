"""Networks that look at neighbouring frames stream exactly: every prefix of a walk, and nothing else is disturbed."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from arena import Arena
from compiled_bundles import broken, clips, graph
from compiled_bundles import bundle as bundle_of
from example_graphs import silhouettes
from numpy.typing import NDArray
from random_graphs import random_temporal_graph

from qgait.compiler.alignment import aligned
from qgait.compiler.bundle import write
from qgait.compiler.glue.library import glue
from qgait.compiler.memory_plan import HEADER_BYTES, plan, state_bytes
from qgait.compiler.tvm.lowering import lower
from qgait.errors import ParityError
from qgait.export.schedule import LIMIT
from qgait.runtime import reference
from qgait.runtime.bundle import Bundle
from qgait.runtime.compiled import Compiled, Stream
from qgait.runtime.selftest import selftest
from qgait.targets.processors import find

NAMES = ("temporal", "parts")
TARGETS = ("host", "arm", "arm64-v8", "armv7")
LENGTHS = tuple(range(1, 13))


def bundle(name: str, target: str) -> Bundle:
    return bundle_of(name, target, trace=True)


@cache
def walk(name: str) -> NDArray[np.uint8]:
    return clips(graph(name), max(LENGTHS))[0]


@cache
def expected(name: str) -> list[NDArray[np.int8]]:
    """The embedding of the first 1, 2, ... frames; nearly every frame changes it."""
    codes = [reference.Reference(graph(name)).embed(walk(name)[:n]) for n in LENGTHS]
    assert len({code.tobytes() for code in codes}) > len(LENGTHS) // 2
    return codes


@pytest.mark.parametrize("name", NAMES)
def test_every_moment_gives_the_codes_of_the_clip_so_far(name: str) -> None:
    stream = Stream(bundle(name, "host"))
    for _ in range(2):
        for frame, codes in zip(walk(name), expected(name), strict=True):
            stream.push(frame)
            np.testing.assert_array_equal(stream.embedding(), codes)
            np.testing.assert_array_equal(stream.embedding(), codes, err_msg="asked twice")
        stream.reset()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_every_length_on_every_processor(name: str, target: str) -> None:
    found = Compiled(bundle(name, target)).embed_many([walk(name)[:n] for n in LENGTHS])
    for codes, wanted in zip(found, expected(name), strict=True):
        np.testing.assert_array_equal(codes, wanted)


@pytest.mark.parametrize(("target", "frames"), [("host", 1), ("host", 2), ("host", 11), ("arm", 7), ("armv7", 7)])
@pytest.mark.parametrize("name", NAMES)
def test_every_kernel_writes_the_series_that_the_reference_computes(name: str, target: str, frames: int) -> None:
    wanted = reference.trace(graph(name), walk(name)[:frames])
    found = Compiled(bundle(name, target)).trace(walk(name)[:frames])
    assert set(found) == {of for kernel in bundle(name, target).manifest["kernels"] for of in kernel["outputs"]}
    assert len({len(codes) for codes in found.values()}) > (2 if name == "temporal" and frames > 2 else 0)
    for tensor, codes in found.items():
        np.testing.assert_array_equal(codes, wanted[tensor], err_msg=tensor)


@pytest.mark.parametrize("seed", [3, 11])
def test_random_networks_over_time(seed: int, tmp_path: Path) -> None:
    """Clips shorter than the network needs, and strides of two and three frames."""
    network = random_temporal_graph(seed)
    clip = silhouettes(14, seed, 8, 6)
    made = write(network, find("host"), tmp_path / "b", [clip[:2], clip[:3]])
    assert made.manifest["timing"]["min_frames"] > 1 and made.manifest["timing"]["stride"] == {3: 2, 11: 3}[seed]
    stream = Stream(made)
    for n, frame in enumerate(clip, start=1):
        stream.push(frame)
        np.testing.assert_array_equal(stream.embedding(), reference.Reference(network).embed(clip[:n]))


@pytest.mark.parametrize(("offset", "rubbish"), [(0, 0), (1, 0xFF), (37, 0x80), (63, 0x7F)])
@pytest.mark.parametrize("name", NAMES)
def test_an_arena_is_not_overrun_and_what_was_in_it_does_not_matter(name: str, offset: int, rubbish: int) -> None:
    arena = Arena(bundle(name, "host"), offset, rubbish)
    for frame, codes in zip(walk(name), expected(name), strict=True):
        arena.push(frame)
        before = arena.kept()
        np.testing.assert_array_equal(arena.embedding(), codes)
        assert arena.kept() == before, "an embedding changes nothing that is remembered"
    assert arena.guards_live()


@pytest.mark.parametrize("name", NAMES)
def test_interleaved_arenas_do_not_disturb_each_other(name: str) -> None:
    forwards, backwards = Arena(bundle(name, "host")), Arena(bundle(name, "host"), 21)
    reverse = walk(name)[::-1].copy()
    for n, codes in zip(LENGTHS, expected(name), strict=True):
        forwards.push(walk(name)[n - 1])
        backwards.push(reverse[n - 1])
        np.testing.assert_array_equal(forwards.embedding(), codes)
        np.testing.assert_array_equal(backwards.embedding(), reference.Reference(graph(name)).embed(reverse[:n]))


@pytest.mark.parametrize("name", NAMES)
def test_years_of_frames(name: str) -> None:
    """The frame counter starts anew in the middle of a walk, and nothing shows it."""
    arena, plain = Arena(bundle(name, "host")), Arena(bundle(name, "host"))
    counter = ctypes.c_uint32.from_address(arena.address + ctypes.sizeof(ctypes.c_size_t))
    many, period = np.tile(walk(name), (8, 1, 1)), graph(name).schedule.period
    skipped = (LIMIT - 1 - 24) // period * period
    for n, frame in enumerate(many):
        if n == 24:
            assert counter.value == n
            counter.value += skipped
        arena.push(frame)
        plain.push(frame)
        np.testing.assert_array_equal(arena.embedding(), plain.embedding())
    assert counter.value in range(LIMIT - period, min(LIMIT, len(many) + skipped)), "it never started anew"


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_tells_what_is_kept(name: str) -> None:
    memory = bundle(name, "arm").manifest["memory"]
    times = graph(name).schedule
    tensors = graph(name).tensors
    assert memory["rings"] == times.rings and memory["state_bytes"] == state_bytes(graph(name))
    rings = sum(depth * tensors[ring].size for ring, depth in times.rings.items())
    frames = times.stored_frames * tensors[graph(name).input].size
    needed = 64 + frames + rings + sum(tensors[maximum].size for maximum in memory["state"])
    assert needed <= memory["state_bytes"] < needed + 64 * (2 + len(memory["state"]) + sum(times.rings.values()))
    assert 2 * memory["state_bytes"] < memory["arena_bytes"] + 64 + frames + 64


@pytest.mark.parametrize("name", ["tiny", "gaitset", "gaitbase"])
def test_set_pooled_networks_have_none_of_it(name: str) -> None:
    program = lower(graph(name), find("arm"))
    made = plan(program)
    maxima = sum(aligned(graph(name).tensors[maximum].size) for maximum in made.state)
    assert (made.copy, made.rings, made.state_bytes) == (0, {}, HEADER_BYTES + maxima)
    source = glue(program, made).sources["glue.c"]
    assert not any(word in source for word in ("run_frame", "due(", "look(", "copy", "int32_t value"))


@pytest.mark.parametrize("name", NAMES)
def test_a_corrupted_constant_is_noticed(name: str, tmp_path: Path) -> None:
    """One bias in the library: the self-test names a difference, and the trace the first wrong kernel."""
    program = lower(graph(name), find("host"))
    kernel = next(kernel for kernel in program.frame if any("window" in of for of in kernel.inputs))
    data = max((array.tobytes() for array in kernel.constants), key=len)

    def change(file: bytes) -> bytes:
        assert file.count(data) == 1
        at = file.index(data) + len(data) // 2
        return file[:at] + bytes(byte ^ 0x3F for byte in file[at : at + 24]) + file[at + 24 :]

    folder = broken(bundle(name, "host"), tmp_path / "b", "gait-run", change, resign=True)
    with pytest.raises(ParityError, match="codes differ"):
        selftest(Bundle.open(folder))
