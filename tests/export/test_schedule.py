"""The streaming schedule gives the reference's values of every tensor at every moment, for any clip length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from example_graphs import GraphBuilder, gaitset_graph, parts_graph, silhouettes, temporal_graph, tiny_graph
from random_graphs import random_temporal_graph
from schedule_player import Player

from qgait.export.graph import Graph
from qgait.export.schedule import LIMIT, UNENDED, Window, due
from qgait.runtime import reference

SHAPE = (16, 12)
LENGTHS = 12


def sampled_graph() -> Graph:
    """Every second frame counts: a window, and yet nothing that ends later than its frame."""
    b = GraphBuilder(3, *SHAPE, frames=6)
    x = b.pool(b.conv("silhouette", 4, 3))
    b.linear(b.strips(b.frame_max(b.conv(b.frame_window(x, 1, 2, 0), 4, 1)), (4,)), 6)
    return b.graph("sampled")


def deep_graph() -> Graph:
    """Strided windows behind strided windows with different paddings, joined: delays 3 and 7, stride 4."""
    b = GraphBuilder(4, *SHAPE, frames=12)
    x = b.pool(b.conv("silhouette", 4, 3))
    short = b.window_max(b.window_max(x, 2, 2, 0), 2, 2, 0)
    long = b.window_max(b.window_max(x, 4, 2, 1), 4, 2, 1)
    waits = b.add(long, b.add(short, short))
    b.linear(b.strips(b.frame_max(waits), (2,)), 6)
    return b.graph("deep", min_frames=5)


GRAPHS: list[Callable[[], Graph]] = [temporal_graph, parts_graph, sampled_graph, deep_graph, tiny_graph]


@pytest.mark.parametrize("build", GRAPHS)
def test_every_prefix_and_every_tensor(build: Callable[[], Graph]) -> None:
    graph = build()
    clip = silhouettes(LENGTHS, 5, *SHAPE)
    player = Player(graph)
    for n in range(1, LENGTHS + 1):
        player.push(clip[n - 1])
        wanted = reference.trace(graph, clip[:n])
        np.testing.assert_array_equal(player.embedding(), wanted[graph.output][0], err_msg=f"{n} frames")
        for name, values in player.finished.items():
            np.testing.assert_array_equal(np.stack(values), wanted[name], err_msg=f"{name} of {n} frames")
        assert set(player.finished) == {name for name, tensor in graph.tensors.items() if tensor.per_frame}


@pytest.mark.parametrize("seed", range(25))
def test_random_networks_over_time(seed: int) -> None:
    graph = random_temporal_graph(seed)
    clip = silhouettes(14, seed, 8, 6)
    player = Player(graph)
    for n in range(1, len(clip) + 1):
        player.push(clip[n - 1])
        np.testing.assert_array_equal(player.embedding(), reference.Reference(graph).embed(clip[:n]))


def test_asking_changes_nothing() -> None:
    graph = temporal_graph()
    clip = silhouettes(9, 6, *SHAPE)
    asked, silent = Player(graph), Player(graph)
    for frame in clip:
        asked.push(frame)
        asked.embedding()
        silent.push(frame)
    np.testing.assert_array_equal(asked.embedding(), silent.embedding())


def test_what_is_kept() -> None:
    of = deep_graph().schedule
    assert of.windows["windowmax5"] == Window("windowmax4", 4, 2, 1)
    assert [of.series[name].delay for name in ("windowmax3", "windowmax5", "add7")] == [3, 6, 6]
    assert of.rings["add6"] == 1, "the sum of the short branch waits for the long one, less than a stride"
    assert (of.flush, of.min_frames, of.stored_frames, of.needs_copy) == (3, 5, 4, True)
    plain = gaitset_graph(channels=(4, 4, 4)).schedule
    assert plain.is_plain and not plain.needs_copy and plain.rings == {} and plain.flush == 0
    sampled = sampled_graph().schedule
    assert not sampled.needs_copy and not sampled.is_plain


@pytest.mark.parametrize("build", [temporal_graph, parts_graph])
def test_counting_may_start_anew(build: Callable[[], Graph]) -> None:
    """A walk that began so long ago that the counter went over its limit ends like one that did not."""
    graph = build()
    clip = silhouettes(24, 8, *SHAPE)
    period = graph.schedule.period
    start = LIMIT - 14
    young, old = Player(graph, start % period + period), Player(graph, start)
    for player in (young, old):
        for name, ring in player.kept.rings.items():  # what came before is long past, and the same for both
            ring[:] = [np.full(graph.tensors[name].shape, place, np.int8) for place in range(len(ring))]
        for frame in clip:
            player.push(frame)
    assert LIMIT - period <= old.step < start + len(clip) and old.step % period == young.step % period
    np.testing.assert_array_equal(old.embedding(), young.embedding())


def test_a_clip_without_an_end_makes_every_value() -> None:
    for of in deep_graph().schedule.series.values():
        steps = [step for step in range(40) if due(of, step, UNENDED) is not None]
        assert steps == list(range(of.delay, 40, of.stride))


def test_what_cannot_be_streamed_is_named() -> None:
    with pytest.raises(ValueError, match="no value in a clip of 1 frames"):
        _ = replace(temporal_graph(), min_frames=1).schedule
    b = GraphBuilder(0, *SHAPE, frames=4)
    b.linear(b.strips(b.frame_max(b.window_max(b.conv("silhouette", 4, 3), 2, 1, 1)), (4,)), 4)
    graph = b.graph("past")
    window = next(op for op in graph.ops if op.output.startswith("windowmax"))
    wide = tuple(replace(op, padding=2) if op is window else op for op in graph.ops)  # type: ignore[type-var]
    with pytest.raises(ValueError, match="look at no frame at all"):
        _ = replace(graph, ops=wide).schedule
