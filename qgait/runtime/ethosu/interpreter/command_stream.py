"""Vela's command stream as commands with names: the driver's header, then words.

The header holds the four letters COP1 and driver actions of 32 bits: the action in the low byte, what it needs in the
others. A command is one word (code in the low 16 bits, a parameter in the high ones) or two: bit 14 of the code says
that 32 more bits follow. Numbers and names of registers and operations come from Vela's package.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qgait.errors import QgaitError
from qgait.runtime.ethosu.interpreter.errors import broken

MAGIC = int.from_bytes(b"COP1", "little")
CONFIG, COMMANDS, NOTHING = 1, 2, 5  # driver actions; CONFIG is followed by the words of two registers
PRODUCTS = {0: "u55", 1: "u65"}
CODE, PAYLOAD = 0x03FF, 0x4000
SET = "NPU_SET_"
OPERATION = "NPU_OP_"


@dataclass(frozen=True)
class Device:
    """What the header says that the stream was compiled for; ``macs`` a cycle and ``shram`` bytes of all cores."""

    product: str
    macs: int
    shram: int


@dataclass(frozen=True)
class Command:
    """A register that is set, or an operation that starts.

    ``value`` is the 16-bit parameter, or with a payload the payload and the parameter above its 32 bits. ``position``
    is the word's index.
    """

    name: str
    value: int
    starts: bool
    position: int


def read_header(stream: bytes) -> tuple[Device, list[int]]:
    """The device and the words behind the header. QgaitError for an Ethos-U85 and without a header."""
    words: list[int] = np.frombuffer(stream[: len(stream) // 4 * 4], "<u4").tolist()
    if len(words) < 2 or words[0] != MAGIC:
        raise broken("does not begin with COP1")
    device, at = None, 1
    while at < len(words):
        action, word = words[at] & 0xFF, words[at]
        if action == CONFIG and at + 2 < len(words):
            device = _device(words[at + 1])
            at += 3
        elif action == NOTHING:
            at += 1
        elif action == COMMANDS and device is not None:
            count = (word >> 16) | (word & 0xFF00) << 8
            if at + 1 + count > len(words):
                raise broken(f"has {len(words) - at - 1} words where its header promises {count}")
            return device, words[at + 1 : at + 1 + count]
        else:
            raise broken(f"has the driver action {action} in its header")
    raise broken("has a header and no commands")


def commands(words: Sequence[int]) -> Iterator[Command]:
    """The commands one by one, up to NPU_OP_STOP."""
    short, long = _names()
    at = 0
    while at < len(words):
        word, position = words[at], at
        names = long if word & PAYLOAD else short
        name = names.get(word & CODE)
        if name is None or word & 0xFFFF & ~(CODE | PAYLOAD):
            raise broken(f"has {word & 0xFFFF:#06x} as its word {at}, which is no command of Ethos-U55 or U65")
        value = word >> 16
        if word & PAYLOAD:
            at += 1
            if at == len(words):
                raise broken(f"ends within {name}")
            value = value << 32 | words[at]
        at += 1
        starts = name.startswith(OPERATION)
        yield Command(name.removeprefix(OPERATION if starts else SET), value, starts, position)
        if starts and name == "NPU_OP_STOP":
            return
    raise broken("has no NPU_OP_STOP")


def _device(config: int) -> Device:
    product = config >> 28
    if product not in PRODUCTS:
        raise QgaitError(
            "The command stream is for Ethos-U85, whose instructions and weight format differ from U55 and U65; "
            "its weights have no public decoder.",
            "use the runtime tosa for networks on a U85, or interpret them compiled for ethos-u65-256.",
        )
    return Device(PRODUCTS[product], 1 << (config & 15), (config >> 8 & 0xFF) * 1024)


@functools.cache
def _names() -> tuple[dict[int, str], dict[int, str]]:
    """(commands of one word, commands of two words) by code."""
    from ethosu.vela.ethos_u55_regs.ethos_u55_regs import cmd0, cmd1

    return {command.value: command.name for command in cmd0}, {command.value: command.name for command in cmd1}
