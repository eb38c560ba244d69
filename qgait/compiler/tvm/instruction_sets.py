"""Every instruction set that qgait has kernels for, and the kernels that each of them tries."""

from __future__ import annotations

from qgait.compiler.tvm import mve, neon
from qgait.compiler.tvm.blocked import nest as blocked
from qgait.compiler.tvm.blocked.dotprod import Dotprod
from qgait.compiler.tvm.blocked.vnni import Vnni
from qgait.compiler.tvm.channel_products import ShortProducts
from qgait.compiler.tvm.dsp import ChannelWords, DspRescaling
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.instruction_set import Convolution, InstructionSet
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.rows import dsp as rows_dsp
from qgait.compiler.tvm.rows import mve as rows_mve
from qgait.compiler.tvm.rows import portable, v8, winograd
from qgait.export.graph import Graph
from qgait.targets.processors import Isa, Target

DOT_PRODUCTS = Convolution("dot products", blocked.conv_kernel)
WINOGRAD = Convolution("Winograd 4 x 4", winograd.conv_kernel)
PORTABLE = Convolution("direct, 16-bit products", portable.conv_kernel)


def _vnni(byte_permutes: bool) -> InstructionSet:
    return InstructionSet((DOT_PRODUCTS, PORTABLE), dots=Vnni(byte_permutes), by_channel=ShortProducts(lanes=16))


_SETS: dict[Isa, InstructionSet] = {
    "dotprod": InstructionSet(
        (DOT_PRODUCTS, PORTABLE), dots=Dotprod(), sums=80, look_up=neon.look_up, by_channel=neon.ChannelDots()
    ),
    "vnni": _vnni(byte_permutes=False),
    "v8": InstructionSet(
        (WINOGRAD, Convolution("direct, 8-bit products", v8.conv_kernel), PORTABLE),
        sums=80,
        rounded=neon.rounded_64,
        look_up=neon.look_up,
        by_channel=ShortProducts(16, 4, rescaling=neon.NeonRescaling(), narrowed=neon.narrowed),
    ),
    "armv7": InstructionSet(
        (WINOGRAD, PORTABLE), lanes=4, sums=32, rounded=neon.rounded_32, by_channel=ShortProducts(8, 1)
    ),
    "generic": InstructionSet((WINOGRAD, PORTABLE)),
    "mve": InstructionSet(
        (Convolution("direct, 8-bit products", rows_mve.conv_kernel),),
        rescaling=mve.MveRescaling(),
        look_up=mve.look_up,
        by_channel=mve.ChannelPairs(),
    ),
    "dsp": InstructionSet(
        (Convolution("direct, pairs of 16-bit products", rows_dsp.conv_kernel),),
        rescaling=DspRescaling(),
        by_channel=ChannelWords(),
    ),
}


def instruction_set(target: Target) -> InstructionSet:
    """The instruction set of ``target``; most processors with VNNI have byte permutes too."""
    if "+avx512vbmi" in target.mattr:
        return _vnni(byte_permutes=True)
    return _SETS[target.isa]


def convolution(group: Group, graph: Graph, target: Target) -> tuple[Kernel, str]:
    """The best kernel of a group that starts with a convolution, and which implementation that is."""
    instructions = instruction_set(target)
    for way in instructions.convolutions:
        kernel = way.build(group, graph, instructions)
        if kernel is not None:
            return kernel, way.name
    raise AssertionError("the last convolution of an instruction set takes every layer")
