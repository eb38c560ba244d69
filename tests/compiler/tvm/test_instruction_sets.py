"""Every instruction set has a kernel for every layer, and its kernels are made of its own instructions."""

from __future__ import annotations

import pytest
from conv_cases import CASES, ConvCase

from qgait.compiler.tvm.emit import assembly
from qgait.compiler.tvm.instruction_sets import convolution, instruction_set
from qgait.targets.processors import Target, all_targets, find, host

VNNI = host("x86_64", {"avx2", "fma", "bmi2", "avx512_vnni", "avx512bw", "avx512vl", "avx512dq", "avx512cd"})
VBMI = host(
    "x86_64", {"avx2", "fma", "bmi2", "avx512_vnni", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "avx512vbmi"}
)
PLAIN = ConvCase((8, 12, 32), 32)
TABLE = ConvCase((8, 12, 32), 32, table="random")
STRIDED = ConvCase((8, 12, 32), 32, stride=(2, 2))

# (target, layer, implementation, instructions of which none may be missing)
MADE_OF = {
    "arm": (find("arm"), TABLE, "dot products", ("sdot", "sqdmulh", "srshl", "tbl", "tbx")),
    "VNNI": (VNNI, PLAIN, "dot products", ("vpdpbusd",)),
    "VNNI with byte permutes": (VBMI, TABLE, "dot products", ("vpdpbusd", "vpermt2b")),
    "arm64-v8": (find("arm64-v8"), TABLE, "Winograd 4 x 4", ("smlal", "srshl", "tbl")),
    "arm64-v8, stride 2": (find("arm64-v8"), STRIDED, "direct, 8-bit products", ("smlal2", "sadalp")),
    "armv7": (find("armv7"), PLAIN, "Winograd 4 x 4", ("vmlal.s16", "vrshl.s64")),
    "cortex-m55": (find("cortex-m55"), TABLE, "direct, 8-bit products", ("vmlava.s8", "vqdmulh.s32", "vldrb.u8")),
    "cortex-m33": (find("cortex-m33"), PLAIN, "direct, pairs of 16-bit products", ("smlad", "sxtb16")),
}


@pytest.mark.parametrize("name", MADE_OF)
def test_kernels_are_made_of_the_instructions_that_they_are_for(name: str) -> None:
    target, case, way, wanted = MADE_OF[name]
    graph, group, _ = case.build()
    kernel, found = convolution(group, graph, target)
    text = assembly([kernel], target)
    assert found == way
    assert [instruction for instruction in wanted if instruction not in text] == []


@pytest.mark.parametrize("target", all_targets(), ids=lambda target: target.name)
def test_the_last_convolution_takes_every_layer(target: Target) -> None:
    instructions = instruction_set(target)
    for case in (*CASES.values(), ConvCase((6, 7, 16), 16, gain=2e9)):
        graph, group, _ = case.build()
        assert instructions.convolutions[-1].build(group, graph, instructions) is not None


def test_a_layer_that_needs_64_bits_gets_the_portable_kernel() -> None:
    graph, group, _ = ConvCase((6, 7, 16), 16, gain=2e9).build()
    for target in (find("arm"), VNNI):
        assert convolution(group, graph, target)[1] == "direct, 16-bit products"


def test_byte_permutes_are_told_from_the_processors_features() -> None:
    assert instruction_set(VBMI) != instruction_set(VNNI) == instruction_set(VNNI)
