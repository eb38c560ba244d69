"""Integer graphs with random weights in the shapes of real backbones, for tests of writers and runtimes."""

from __future__ import annotations

from graph_builder import GraphBuilder, silhouettes

from qgait.export.graph import Graph

__all__ = [
    "GraphBuilder",
    "gaitbase_graph",
    "gaitset_graph",
    "light_graph",
    "parts_graph",
    "silhouettes",
    "temporal_graph",
    "tiny_graph",
]


def tiny_graph(seed: int = 0) -> Graph:
    """Every operator once, on 16 x 12 silhouettes; odd sizes and channel counts on purpose."""
    b = GraphBuilder(seed, 16, 12)
    x = b.pool(b.leaky(b.conv("silhouette", 8, 5, zero_point=-90)))
    early = b.frame_max(x)
    y = b.conv(x, 16, 3)
    y = b.add(y, b.conv(x, 16, 1))
    z = b.conv(y, 24, 3, stride=2)
    late = b.frame_max(z)
    branch = b.pool(b.leaky(b.conv(early, 24, 3, zero_point=-100), zero_point=-124))
    joined = b.add(late, branch)
    parts = b.concat(b.strips(late, (4, 2, 1)), b.strips(joined, (4, 2, 1)))
    b.linear(parts, 12)
    return b.graph("tiny")


def gaitset_graph(seed: int = 0, channels: tuple[int, int, int] = (32, 64, 128), bits: int = 8) -> Graph:
    """OpenGait's GaitSet for CASIA-B on 64 x 44 silhouettes."""
    b = GraphBuilder(seed)
    c1, c2, c3 = channels
    hi = 2 ** (bits - 1) - 1
    total, pooled = (-110, -128) if bits == 8 else (0, 0)  # zero points, which must lie between lo and hi
    act = {"zero_point": -124} if bits == 8 else {"zero_point": 0, "lo": -hi - 1, "hi": hi}

    def block(x: str, c: int, first: int, pool: bool) -> str:
        x = b.leaky(b.conv(x, c, first, zero_point=-90), **act)
        x = b.leaky(b.conv(x, c, 3, zero_point=-80), **act)
        return b.pool(x) if pool else x

    one = block("silhouette", c1, 5, True)
    top = block(b.frame_max(one), c2, 3, True)
    two = block(one, c2, 3, True)
    top = b.add(top, b.frame_max(two), zero_point=total)
    top = block(top, c3, 3, False)
    three = b.frame_max(block(two, c3, 3, False))
    top = b.add(top, three, zero_point=total)
    bins = (16, 8, 4, 2, 1)
    b.linear(b.concat(b.strips(three, bins, pooled), b.strips(top, bins, pooled)), 256)
    return b.graph("gaitset", f"w8a{bits}")


def gaitbase_graph(seed: int = 0, channels: tuple[int, int, int, int] = (64, 128, 256, 512)) -> Graph:
    """OpenGait's GaitBase (ResNet9) on 64 x 44 silhouettes."""
    b = GraphBuilder(seed)
    x = b.conv("silhouette", channels[0], 3)
    for c, stride in zip(channels, (1, 2, 2, 1), strict=True):
        y = b.conv(b.conv(x, c, 3, stride), c, 3, zero_point=3)
        shortcut = x if b.tensors[x].shape == b.tensors[y].shape else b.conv(x, c, 1, stride, zero_point=-7)
        x = b.add(y, shortcut)
    b.linear(b.strips(b.frame_max(x), (16,)), 256)
    return b.graph("gaitbase")


def temporal_graph(seed: int = 0) -> Graph:
    """HSTL and DeepGaitV2-3D in small: 3-D convolutions, regions of rows, gates, every third frame. 16 x 12."""
    b = GraphBuilder(seed, 16, 12, frames=8)
    x = b.leaky(b.conv(b.frame_window("silhouette"), 6, 3, zero_point=-90))
    early = b.power_pool(b.conv(b.frame_max(x), 8, 1), (16,))
    x = b.pool(x)
    y = b.conv(b.frame_window(b.conv(b.frame_window(x), 6, 3)), 6, 1, zero_point=3)
    x = b.add(y, x)  # y is known two frames after x
    gated = [_gated(b, b.rows(x, start, stop)) for start, stop in ((0, 5), (5, 8))]
    x = b.concat(*(_with_scale_of_first(b, gated)))
    bands = [b.conv(b.frame_window(b.rows(x, start, stop)), 8, 3) for start, stop in ((0, 2), (2, 8))]
    last = b.frame_max(b.concat(*_with_scale_of_first(b, bands)))
    b.linear(b.concat(early, b.power_pool(last, (1,) * 8), b.power_pool(last, (3, 5), 4.0, hi=90)), 10)
    return b.graph("temporal", min_frames=3)


def _gated(b: GraphBuilder, x: str) -> str:
    """HSTL's choice between two maxima over time, per channel: ``w * a + (1 - w) * b``; every third frame."""
    short, long = b.window_max(x, 3, 3, 0), b.window_max(x, 5, 3, 1)
    gap = b.linear(b.strips(b.add(short, long), (1,), kind="mean"), b.tensors[x].shape[2])
    return b.add(b.multiply(short, b.sigmoid(gap)), b.multiply(long, b.sigmoid(gap, flipped=True)))


def _with_scale_of_first(b: GraphBuilder, maps: list[str]) -> list[str]:
    """Tables that bring maps to one scale and range, as they must have to be joined."""
    first = b.tensors[maps[0]]
    return [b.rescale(x, first) for x in maps]


def parts_graph(seed: int = 0) -> Graph:
    """GaitPart in small: parts of every frame, convolutions over time a part, gates, maxima over frames. 16 x 12."""
    b = GraphBuilder(seed, 16, 12, frames=6)
    x = b.pool(b.leaky(b.conv("silhouette", 8, 5, zero_point=-90)))
    x = b.strips(b.leaky(b.conv(x, 12, 3, zero_point=-80)), (4,), zero_point=-120)
    templates = []
    for size, kernel in ((3, 1), (5, 3)):
        hidden = b.leaky(b.linear(b.frame_window(x), 3), zero_point=-60)
        gate = b.sigmoid(b.linear(b.frame_window(hidden, kernel), 12))
        templates.append(b.multiply(b.window_pool(x, size), gate))
    b.linear(b.frame_max(b.add(*templates)), 10)
    return b.graph("parts")


def light_graph(seed: int = 0) -> Graph:
    """A light backbone in small: convolutions channel by channel and 1 x 1 convolutions in turn. 16 x 12."""
    b = GraphBuilder(seed, 16, 12)
    x = b.leaky(b.conv("silhouette", 8, 3, zero_point=-90))
    for channels, kernel, stride in ((16, 3, 1), (12, 5, 2), (19, 7, 1), (8, 3, 2)):
        x = b.conv(b.depthwise(x, kernel, stride, zero_point=-128 if stride == 1 else 5), channels, 1)
    b.linear(b.strips(b.frame_max(b.depthwise(x, 1)), (4, 2, 1)), 12)
    return b.graph("light")
