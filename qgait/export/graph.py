"""The integer graph: a small closed set of operators (``qgait.export.operators``) over int8 tensors in NHWC order.

A tensor belongs to one frame or to one clip and has no batch axis: feature maps are [H, W, C], parts are [P, C].
Operators are listed in execution order. Everything up to the frame maxima runs once per frame; what follows them
runs when an embedding is asked for (the cut). Accumulators are int32; every result is an int8 code within
[lo, hi] of its tensor, made by the integer rule in ``qgait.fixedpoint``.

Time. A tensor of a frame is a series over the clip: one value a frame, until a window (``FrameWindow``, ``WindowMax``,
``WindowPool``) makes its own series of it. Of L values a window of ``size``, ``stride`` and ``padding`` makes
``(L + 2 * padding - size) // stride + 1``; value j looks at values ``j * stride - padding`` and the ``size - 1`` behind
it, and those outside the clip are missing. Operators with several inputs join values of one index. A clip shorter than
``Graph.min_frames`` is repeated end to end as many whole times as it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from qgait.export.operators import Op, Tensor
from qgait.export.schedule import Schedule, schedule_of
from qgait.export.timing import Series, series_of
from qgait.provenance import Provenance


@dataclass(frozen=True, eq=False)
class Graph:
    """A whole network from one uint8 silhouette a frame to the int8 codes of the embedding.

    ``input`` is [H, W, 1] with scale 1/255 and zero point -128: a code is the pixel minus 128.
    ``output`` names the [P, C] embedding; its tensor's scale holds one float32 a part.
    ``model`` is the backbone's name, ``bits`` the recipe ("w8a8"), both for people and file metadata, and so is
    ``provenance``, what the graph was made from: two graphs that compute the same may differ in it.
    """

    model: str
    bits: str
    input: str
    output: str
    tensors: dict[str, Tensor]
    ops: tuple[Op, ...]
    min_frames: int = 1
    provenance: Provenance = field(default_factory=dict)

    def frame_ops(self) -> Iterator[Op]:
        """The operators that run once per frame, frame maxima included."""
        return (op for op in self.ops if self.tensors[op.inputs[0]].per_frame)

    def clip_ops(self) -> Iterator[Op]:
        """The operators that run once per embedding."""
        return (op for op in self.ops if not self.tensors[op.inputs[0]].per_frame)

    def readers(self, tensor: str) -> list[Op]:
        """The operators that read ``tensor``."""
        return [op for op in self.ops if tensor in op.inputs]

    @cached_property
    def series(self) -> dict[str, Series]:
        """When the values of every tensor of a frame exist.

        Raises ValueError, naming the operator, where tensors of different lengths are joined.
        """
        return series_of(self.input, self.ops)

    @cached_property
    def schedule(self) -> Schedule:
        """What runs when a frame comes. Raises ValueError, naming the tensor, for a graph that cannot be streamed."""
        return schedule_of(self.series, tuple(self.frame_ops()), self.min_frames)

    @property
    def parameters(self) -> int:
        """How many int8 weights there are."""
        return sum(op.parameters for op in self.ops)

    @property
    def frame_macs(self) -> int:
        """Multiply-accumulates of a frame, the mean over a long clip: what has a stride runs for some frames only."""
        per_frame = [op for op in self.frame_ops() if op.output in self.series]
        return sum(op.macs(self.tensors) // self.series[op.output].stride for op in per_frame)

    @property
    def clip_macs(self) -> int:
        """Multiply-accumulates of what runs once per embedding."""
        return sum(op.macs(self.tensors) for op in self.clip_ops())
