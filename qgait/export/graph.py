"""The integer graph: a small closed set of operators over int8 tensors in NHWC order.

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

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Tensor:
    """Where codes live: ``real = (code - zero_point) * scale``.

    ``scale`` is float32, of shape () for a feature map and [P] for parts. ``lo``, ``hi`` bound the codes.
    """

    name: str
    shape: tuple[int, ...]
    scale: NDArray[np.float32]
    zero_point: int = 0
    lo: int = -128
    hi: int = 127
    per_frame: bool = True

    @property
    def size(self) -> int:
        """Bytes of one int8 tensor."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Requant:
    """Multiplier (int32) and shift (int8) of the integer rule; both broadcast against the accumulator."""

    multiplier: NDArray[np.int32]
    shift: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Op:
    """One operator: ``inputs`` and ``output`` are tensor names; ``name`` is the layer's name for people."""

    name: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, eq=False)
class Conv2d(Op):
    """[H, W, I] -> [H', W', O]: ``acc = bias + sum(weight * code)``, requantized per output channel.

    weight int8 [O, KH, KW, I], never -128. bias int32 [O] already holds ``-zero_point_in * sum(weight)``.
    ``padding`` is (top, left, bottom, right) and is filled with the input's zero point. requant [O].
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    requant: Requant


@dataclass(frozen=True, eq=False)
class Table(Op):
    """Any pointwise function of an 8-bit code: ``out = table[code + 128]``, table int8 [256]."""

    table: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class MaxPool2d(Op):
    """[H, W, C] -> [H // k, W // k, C]: the maximum of k x k windows, stride k, no padding; codes are kept."""

    kernel: int


@dataclass(frozen=True, eq=False)
class Add(Op):
    """Residual sum of two tensors of one shape: ``requantize(ka * (a - za) + kb * (b - zb))``, ka, kb <= 2**14.

    requant [1]; parts that are added have one scale each, the same for every part.
    """

    factors: tuple[int, int]
    requant: Requant


@dataclass(frozen=True, eq=False)
class FrameMax(Op):
    """Set pooling: the maximum of a per-frame map over all frames of a clip; codes are kept."""


@dataclass(frozen=True, eq=False)
class StripPool(Op):
    """Horizontal pyramid pooling: [H, W, C] -> [P, C] with P = sum(bins).

    For every b in ``bins`` the rows are split into b equal strips of n = H * W / b codes. ``kind`` is mean_max
    (``acc = sum(code) + n * max(code) - 2 * n * zero_point_in``) or mean (``acc = sum(code) - n * zero_point_in``);
    1/n is in the multiplier. requant [P, 1].
    """

    bins: tuple[int, ...]
    requant: Requant
    kind: str = "mean_max"


@dataclass(frozen=True, eq=False)
class PartLinear(Op):
    """One matrix a part: [P, I] -> [P, O], ``acc = bias + code @ weight``.

    weight int8 [P, I, O], never -128. bias int32 [P, O] already holds ``-zero_point_in * sum(weight)``. requant [P, O].
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    requant: Requant


@dataclass(frozen=True, eq=False)
class Concat(Op):
    """Joins maps or parts on their first axis; the codes are kept, so maps share one scale and zero point."""


@dataclass(frozen=True, eq=False)
class RowSlice(Op):
    """Rows ``start`` to ``stop`` (not included) of a map: [H, W, C] -> [stop - start, W, C]; codes are kept."""

    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class FrameWindow(Op):
    """Neighbouring values side by side: [H, W, C] -> [H, W, size * C], [P, C] -> [P, size * C]; codes are kept.

    The oldest comes first: channel ``i * C + c`` is channel c of value ``j * stride - padding + i``. Missing values
    are the zero point. A convolution over time is a FrameWindow and a convolution (or linear layer) behind it.
    """

    size: int
    stride: int
    padding: int


@dataclass(frozen=True, eq=False)
class WindowMax(Op):
    """The maximum of neighbouring values, code by code; missing values do not count; codes are kept."""

    size: int
    stride: int
    padding: int


@dataclass(frozen=True, eq=False)
class WindowPool(Op):
    """Mean + maximum of ``size`` neighbouring values, stride 1, padding (size - 1) / 2; the shape is kept.

    ``acc = sum(code - zero_point_in) + size * (max(code) - zero_point_in)``. Missing values add nothing to the sum and
    do not count in the maximum; 1/size is in the multiplier. requant [1] of a map, [P, 1] of parts.
    """

    size: int
    requant: Requant


@dataclass(frozen=True, eq=False)
class PowerPool(Op):
    """Generalized mean over regions of whole rows: [H, W, C] -> [R, C]; ``rows`` are the regions' heights, sum H.

    ``acc = sum(powers[r][code + 128])`` over the pixels of region r, in int64 and below 2**53; the result
    is ``lo + (how many of thresholds[r] are <= acc)``. powers int64 [R, 256], not negative; thresholds int64
    [R, hi - lo], not negative, ascending. The tables hold x ** p and the root; no requantization.
    """

    rows: tuple[int, ...]
    powers: NDArray[np.int64]
    thresholds: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Multiply(Op):
    """``requantize((a - za) * (b - zb))`` of tensors a and b.

    b has a's shape, or is [1, C] parts that every pixel of a map [H, W, C] is multiplied by. requant [1] of a map,
    [P, 1] of parts.
    """

    requant: Requant


@dataclass(frozen=True, eq=False)
class Graph:
    """A whole network from one uint8 silhouette a frame to the int8 codes of the embedding.

    ``input`` is [H, W, 1] with scale 1/255 and zero point -128: a code is the pixel minus 128.
    ``output`` names the [P, C] embedding; its tensor's scale holds one float32 a part.
    ``model`` is the backbone's name, ``bits`` the recipe ("w8a8"), both for people and file metadata.
    """

    model: str
    bits: str
    input: str
    output: str
    tensors: dict[str, Tensor]
    ops: tuple[Op, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    min_frames: int = 1

    def frame_ops(self) -> Iterator[Op]:
        """The operators that run once per frame, frame maxima included."""
        return (op for op in self.ops if self.tensors[op.inputs[0]].per_frame)

    def clip_ops(self) -> Iterator[Op]:
        """The operators that run once per embedding."""
        return (op for op in self.ops if not self.tensors[op.inputs[0]].per_frame)

    def readers(self, tensor: str) -> list[Op]:
        """The operators that read ``tensor``."""
        return [op for op in self.ops if tensor in op.inputs]

    def parameters(self) -> int:
        """How many int8 weights there are."""
        return sum(op.weight.size for op in self.ops if isinstance(op, (Conv2d, PartLinear)))

    def macs(self) -> tuple[int, int]:
        """Multiply-accumulates of (one frame, one embedding)."""
        return (
            sum(self.macs_of(op) for op in self.frame_ops()),
            sum(self.macs_of(op) for op in self.clip_ops()),
        )

    def macs_of(self, op: Op) -> int:
        """Multiply-accumulates of one operator, on one frame or for one embedding."""
        match op:
            case Conv2d():
                height, width, _ = self.tensors[op.output].shape
                return height * width * op.weight.size
            case PartLinear():
                return op.weight.size
        return 0
