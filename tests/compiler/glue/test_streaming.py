"""Pushing frames one at a time gives the codes of the whole clip at every moment, whatever else happens."""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import pytest
from arena import BAD_ARENA, GUARD, NO_FRAME, NULL, OK, Arena
from compiled_bundles import bundle, clips, graph
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.runtime.compiled import Stream
from qgait.runtime.library import load
from qgait.runtime.reference import Reference


@pytest.fixture(scope="module")
def clip() -> NDArray[np.uint8]:
    return clips(graph("tiny"), 8)[0]


@pytest.fixture(scope="module")
def expected(clip: NDArray[np.uint8]) -> list[NDArray[np.int8]]:
    """The embedding of the first 1, 2, ... frames; later frames change it."""
    codes = [Reference(graph("tiny")).embed(clip[: n + 1]) for n in range(len(clip))]
    assert (codes[0] != codes[-1]).any()
    return codes


def test_every_moment_gives_the_codes_of_the_clip_so_far(
    clip: NDArray[np.uint8], expected: list[NDArray[np.int8]]
) -> None:
    stream = Stream(bundle("tiny", "host"))
    for _ in range(2):
        for frame, codes in zip(clip, expected, strict=True):
            stream.push(frame)
            np.testing.assert_array_equal(stream.embedding(), codes)
            np.testing.assert_array_equal(stream.embedding(), codes, err_msg="asked twice")
        stream.reset()


@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
def test_large_networks_stream(name: str) -> None:
    clip = clips(graph(name), 3)[0]
    stream = Stream(bundle(name, "host"))
    for n, frame in enumerate(clip, start=1):
        stream.push(frame)
        np.testing.assert_array_equal(stream.embedding(), Reference(graph(name)).embed(clip[:n]))


def test_no_frame_no_embedding(clip: NDArray[np.uint8], expected: list[NDArray[np.int8]]) -> None:
    stream = Stream(bundle("tiny", "host"))
    with pytest.raises(QgaitError, match="No frame was pushed"):
        stream.embedding()
    stream.push(clip[0])
    stream.reset()
    with pytest.raises(QgaitError, match="No frame was pushed"):
        stream.embedding()
    stream.push(clip[0])
    np.testing.assert_array_equal(stream.embedding(), expected[0])


def test_a_frame_of_another_size_is_refused() -> None:
    with pytest.raises(QgaitError, match=r"\[frames, 16, 12\]"):
        Stream(bundle("tiny", "host")).push(np.zeros((16, 13), np.uint8))


@pytest.mark.parametrize("offset", [0, 1, 3, 16, 37, 63])
def test_an_arena_may_start_anywhere_and_is_not_overrun(
    offset: int, clip: NDArray[np.uint8], expected: list[NDArray[np.int8]]
) -> None:
    arena = Arena(bundle("tiny", "host"), offset)
    for frame, codes in zip(clip, expected, strict=True):
        arena.push(frame)
        np.testing.assert_array_equal(arena.embedding(), codes)
    assert arena.guards_live()


def test_frames_and_results_may_lie_anywhere(clip: NDArray[np.uint8], expected: list[NDArray[np.int8]]) -> None:
    arena = Arena(bundle("tiny", "host"))
    for shift in range(1, 9):
        room = np.zeros(clip[0].size + 64, np.uint8)
        start = -room.ctypes.data % 32 + shift
        frame = room[start : start + clip[0].size]
        frame[:] = clip[shift - 1].ravel()
        arena.push(frame)
    out = np.full(expected[-1].size + 64, GUARD, np.int8)
    for shift in (1, 5, 31):
        assert arena.library.embedding(arena.address, out.ctypes.data + shift) == OK
        np.testing.assert_array_equal(out[shift : shift + expected[-1].size], expected[-1].ravel())
        assert (out[shift + expected[-1].size :] == GUARD).all()


def test_interleaved_arenas_do_not_disturb_each_other(
    clip: NDArray[np.uint8], expected: list[NDArray[np.int8]]
) -> None:
    forwards, backwards = Arena(bundle("tiny", "host")), Arena(bundle("tiny", "host"), 21)
    reverse = clip[::-1].copy()
    wanted = [Reference(graph("tiny")).embed(reverse[: n + 1]) for n in range(len(clip))]
    for n in range(len(clip)):
        forwards.push(clip[n])
        backwards.push(reverse[n])
        np.testing.assert_array_equal(forwards.embedding(), expected[n])
        np.testing.assert_array_equal(backwards.embedding(), wanted[n])


def test_threads_with_an_arena_each(clip: NDArray[np.uint8], expected: list[NDArray[np.int8]]) -> None:
    wrong: list[int] = []

    def walk(number: int) -> None:
        arena = Arena(bundle("tiny", "host"), number)
        for _ in range(30):
            arena.library.reset(arena.address)
            for frame, codes in zip(clip, expected, strict=True):
                arena.push(frame)
                if (arena.embedding() != codes).any():
                    wrong.append(number)

    threads = [threading.Thread(target=walk, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_misuse_is_answered_and_writes_nothing(clip: NDArray[np.uint8]) -> None:
    arena = Arena(bundle("tiny", "host"))
    library = arena.library
    out = np.full(bundle("tiny", "host").embedding_shape, GUARD, np.int8)
    assert library.embedding(arena.address, out.ctypes.data) == NO_FRAME
    assert library.push(None, clip.ctypes.data) == NULL
    assert library.push(arena.address, None) == NULL
    assert library.embedding(None, out.ctypes.data) == NULL
    assert library.embedding(arena.address, None) == NULL
    library.reset(None)
    fresh = ctypes.create_string_buffer(arena.size)
    assert library.push(fresh, clip.ctypes.data) == BAD_ARENA
    assert library.embedding(fresh, out.ctypes.data) == BAD_ARENA
    arena.push(clip[0])
    ctypes.memmove(fresh, arena.address, arena.size)
    assert library.embedding(fresh, out.ctypes.data) == BAD_ARENA, "an arena must not move"
    assert (out == GUARD).all()


def test_an_arena_of_another_model_is_noticed(clip: NDArray[np.uint8]) -> None:
    arena = ctypes.create_string_buffer(1_000_000)
    load(bundle("gaitset", "host")).reset(arena)
    assert load(bundle("tiny", "host")).push(arena, clip.ctypes.data) == BAD_ARENA
