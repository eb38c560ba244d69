"""What kernels ask of an instruction set, so that none asks which one it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from qgait.compiler.tvm.channel_products import ChannelProducts, ShortProducts
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.requantize import rounded
from qgait.compiler.tvm.rescaling import ShortRescaling
from qgait.export.graph import Graph

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr

    from qgait.compiler.tvm.dot_products import DotProducts


LookUp: TypeAlias = "Callable[[PrimExpr, Buffer], PrimExpr]"

PAIRS = ShortProducts()


@dataclass(frozen=True)
class Convolution:
    """One way to compute a convolution: its ``name`` for people, and ``build``, which gives None where it does not fit.

    ``build`` takes a group that starts with a convolution.
    """

    name: str
    build: Callable[[Group, Graph, InstructionSet], Kernel | None]


@dataclass(frozen=True)
class InstructionSet:
    """What the vector instructions of a processor are good at.

    ``convolutions`` are tried on every layer, best first; the last one takes them all.
    ``dots``: products of four codes and four weights at once, for the convolutions of ``blocked``.

    The convolutions of ``rows`` ask for the rest. ``lanes``: 16-bit numbers that LLVM likes to multiply at once (two
    registers of 64-bit ARM take the halves of one int16 vector). ``sums``: int32 accumulators that stay in registers
    beside what they are made from. ``rescaling``: the integer rule in 32 bits, where that is quicker than ``rounded``,
    the rule with products of 64 bits: (accumulators, multipliers, shifts, lanes) -> int32 without zero point, not
    clipped. ``look_up``: (16 codes, table) -> ``table[code + 128]``; None where one code after the other is as quick.

    ``by_channel``: products for convolutions of every channel by itself.
    """

    convolutions: tuple[Convolution, ...]
    dots: DotProducts | None = None
    lanes: int = 8
    sums: int = 96
    rescaling: ShortRescaling | None = None
    rounded: Callable[[PrimExpr, PrimExpr, PrimExpr, int], PrimExpr] = rounded
    look_up: LookUp | None = None
    by_channel: ChannelProducts = PAIRS
