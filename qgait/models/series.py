"""When values over time exist: how many a clip makes, and how many frames after its own frame each is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qgait.models.layers import Layer

WINDOWS = ("window", "window_max", "window_pool")  # the kinds of layers that look at neighbouring values


@dataclass(frozen=True)
class Series:
    """A clip of n frames has ``(n + extra) // stride`` values; value j needs frame ``j * stride + delay`` and no later.

    Tensors can be joined index by index when ``stride`` and ``extra`` are equal; delays may differ.
    """

    stride: int = 1
    extra: int = 0
    delay: int = 0

    def length(self, frames: int) -> int:
        """Values that a clip of ``frames`` makes."""
        return max((frames + self.extra) // self.stride, 0)

    def behind(self, size: int, stride: int, padding: int) -> Series:
        """The series that a window makes of this one."""
        return Series(
            self.stride * stride,
            self.extra + (2 * padding - size + stride) * self.stride,
            self.delay + (size - 1 - padding) * self.stride,
        )


def repeated(frames: int, min_frames: int) -> int:
    """Frames that are computed for a clip of ``frames``: itself, or enough whole copies to reach ``min_frames``."""
    return frames * -(-min_frames // frames) if frames < min_frames else frames


def series_of(layers: Sequence[Layer]) -> dict[str, Series]:
    """The series of every tensor that belongs to frames, the input included.

    Raises ValueError, naming the layer, where values of different series are joined.
    """
    found: dict[str, Series] = {layers[0].inputs[0]: Series()}
    for layer in layers:
        sources = [found[name] for name in layer.inputs if name in found]
        if not sources or layer.kind == "frame_max":
            continue
        if len({(source.stride, source.extra) for source in sources}) > 1:
            raise ValueError(f"{layer.name} joins series of different lengths")
        joined = Series(sources[0].stride, sources[0].extra, max(source.delay for source in sources))
        window = (layer.size, layer.frames_stride, layer.frames_padding)
        found[layer.name] = joined.behind(*window) if layer.kind in WINDOWS else joined
    return found


def min_frames(layers: Sequence[Layer]) -> int:
    """The fewest frames of which every tensor has a value; shorter clips are ``repeated``."""
    return max(series.stride - series.extra for series in series_of(layers).values())
