"""What has no reading, or makes no sense, is refused by the name of the register or operation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from example_graphs import tiny_graph
from npu_streams import differing, npu, steps, tiny_frame, with_register, with_word, with_words

from qgait.errors import QgaitError
from qgait.runtime.ethosu.interpreter.interpreter import Interpreter
from qgait.runtime.ethosu.segment import CompiledSegment
from qgait.verification.npu_runtime import require_interpreted

SET_DMA0_SIZE0, OP_PMU_MASK, NOWHERE = 0x0132, 0x0013, 0x0099
KERNEL_WAIT = 0x0012


def refusal(compiled: CompiledSegment) -> str:
    with pytest.raises(QgaitError) as caught:
        differing(tiny_graph(), tiny_frame()[0], compiled)
    return caught.value.problem


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (SET_DMA0_SIZE0, "NPU_SET_DMA0_SIZE0 at word 0"),
        (OP_PMU_MASK, "NPU_OP_PMU_MASK at word 0"),
        (NOWHERE, "0x0099 as its word 0, which is no command"),
    ],
)
def test_another_command(word: int, said: str) -> None:
    assert said in refusal(with_words(tiny_frame()[1], word))


@pytest.mark.parametrize(
    ("register", "value", "said"),
    [
        ("IFM_UPSCALE", 1, "NPU_SET_IFM_UPSCALE 1"),
        ("KERNEL_STRIDE", 1 << 5, "a decomposition into 4 x 4"),
        ("KERNEL_STRIDE", 0, "weights where its registers ask for"),
        ("ACC_FORMAT", 2, "NPU_SET_ACC_FORMAT 2"),
        ("ACTIVATION", 4, "function 4"),
        ("ACTIVATION_MAX", 20, "limits of a table"),
        ("OFM_PRECISION", 0x4041, "rounding mode 1"),
        ("IFM_PRECISION", 0x0D, "NPU_SET_IFM_PRECISION 0x000d"),
        ("IFM_REGION", 5, "uses region 5, which the model does not have"),
        ("IFM_BASE0", 1 << 20, "of region 1, which has"),
        ("OPB_SCALE", 16384, "NPU_SET_OPB_SCALE, which is lost"),
        ("DMA0_DST_REGION", 1 << 9 | 1, "a copy in two or three dimensions"),
        ("DMA0_DST_REGION", 0, "writes to region 0, which is constant"),
        ("SCALE_LENGTH", 16, "16 bytes of scales for 8 channels"),
        ("WEIGHT_LENGTH", 16, "weights that cannot be decompressed"),
        ("IFM_PAD_TOP", 40, "pads more than its kernel sees"),
    ],
)
def test_another_value(register: str, value: int, said: str) -> None:
    assert said in refusal(with_register(tiny_frame()[1], register, value))


def test_reading_what_nothing_wrote() -> None:
    compiled = tiny_frame()[1]
    first = next(step.registers["OFM_BASE0"] for step in steps(compiled) if step.kind == "CONV")
    moved = with_register(compiled, "OFM_BASE0", first - 16 if first else 16)  # by one pixel
    assert "where nothing was written" in refusal(moved)


def test_a_copy_that_is_not_waited_for() -> None:
    assert "from byte 22528 on, where nothing was written or a copy still writes" in refusal(
        with_word(tiny_frame()[1], "DMA_WAIT", KERNEL_WAIT)
    )


def test_a_register_that_was_never_set() -> None:
    altered = with_word(tiny_frame()[1], "IFM_PAD_TOP", KERNEL_WAIT)
    assert "without having set NPU_SET_IFM_PAD_TOP" in refusal(altered)


def test_streams_without_head_or_tail() -> None:
    compiled = tiny_frame()[1]
    for stream, said in [
        (b"", "does not begin with COP1"),
        (compiled.command_stream[4:], "does not begin with COP1"),
        (compiled.command_stream[:-4], "words where its header promises"),
        (compiled.command_stream[:4] + b"\x09" + compiled.command_stream[5:], "the driver action 9"),
        (compiled.command_stream[:-4] + b"\0\1\0\0", "no NPU_OP_STOP"),
    ]:
        assert said in refusal(replace(compiled, command_stream=stream)), said


def test_an_ethos_u85_says_why() -> None:
    stream = bytearray(tiny_frame()[1].command_stream)
    stream[11] = 2 << 4  # the product in the configuration word
    with pytest.raises(QgaitError, match="Ethos-U85, whose instructions and weight format differ"):
        Interpreter(replace(tiny_frame()[1], command_stream=bytes(stream)))
    with pytest.raises(QgaitError, match="ethos-u85-256 are not interpreted"):
        require_interpreted(npu("ethos-u85-256"))


def test_inputs_of_another_form() -> None:
    with pytest.raises(QgaitError, match="The segment's input silhouette is nothing"):
        Interpreter(tiny_frame()[1]).run({})
    with pytest.raises(QgaitError, match=r"input silhouette is uint8 \[16, 12, 1\]"):
        Interpreter(tiny_frame()[1]).run({"silhouette": np.zeros((16, 12, 1), np.uint8)})  # type: ignore[dict-item]
