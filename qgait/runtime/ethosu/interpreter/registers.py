"""The registers: what each holds when an operation starts, by the names in Vela's package without NPU_SET_."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qgait.runtime.ethosu.interpreter.command_stream import commands
from qgait.runtime.ethosu.interpreter.errors import broken, not_modelled

BRICK = 16  # channels side by side in NHCWB16
MAPS = ("IFM", "IFM2", "OFM")
_OF_EVERY_MAP = (
    *("REGION", "BASE0", "BASE1", "BASE2", "BASE3", "STRIDE_X", "STRIDE_Y", "STRIDE_C"),
    *("WIDTH0_M1", "HEIGHT0_M1", "HEIGHT1_M1", "PRECISION", "ZERO_POINT"),
)
READ = frozenset(
    [
        *(f"{name}_{part}" for name in MAPS for part in _OF_EVERY_MAP),
        *("IFM_DEPTH_M1", "OFM_WIDTH_M1", "OFM_HEIGHT_M1", "OFM_DEPTH_M1", "OFM_BLK_DEPTH_M1"),
        *("IFM_PAD_TOP", "IFM_PAD_LEFT", "IFM_PAD_RIGHT", "IFM_PAD_BOTTOM", "IFM_UPSCALE"),
        *("IFM2_BROADCAST", "IFM2_SCALAR"),
        *("KERNEL_WIDTH_M1", "KERNEL_HEIGHT_M1", "KERNEL_STRIDE", "PARALLEL_MODE", "ACC_FORMAT"),
        *("ACTIVATION", "ACTIVATION_MIN", "ACTIVATION_MAX", "OFM_SCALE", "OPA_SCALE", "OPB_SCALE"),
        *("WEIGHT_REGION", "WEIGHT_BASE", "WEIGHT_LENGTH", "WEIGHT1_BASE", "WEIGHT1_LENGTH"),
        *("SCALE_REGION", "SCALE_BASE", "SCALE_LENGTH", "SCALE1_BASE", "SCALE1_LENGTH"),
        *("DMA0_SRC_REGION", "DMA0_SRC", "DMA0_DST_REGION", "DMA0_DST", "DMA0_LEN"),
    ]
)
# Where buffers lie inside the accelerator and how far operations may overlap: no influence on what is computed.
TIMING = frozenset({"OFM_BLK_WIDTH_M1", "OFM_BLK_HEIGHT_M1", "IFM_IB_END", "IFM2_IB_START", "AB_START", "BLOCKDEP"})
WORK = frozenset({"CONV", "DEPTHWISE", "POOL", "ELEMENTWISE", "DMA_START", "DMA_WAIT"})
SKIPPED = frozenset({"KERNEL_WAIT", "STOP"})  # but for copies, operations run one after the other here


class Registers:
    """Values at the moment when an operation starts. Reading one that was never set is an error."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> int:
        if name not in self._values:
            raise broken(f"starts an operation without having set NPU_SET_{name}")
        return self._values[name]

    def get(self, name: str, default: int) -> int:
        """The value, or ``default`` where the stream never sets the register."""
        return self._values.get(name, default)

    def bits(self, name: str, lowest: int, count: int = 1) -> int:
        """A field of ``count`` bits."""
        return self[name] >> lowest & (1 << count) - 1

    def signed(self, name: str) -> int:
        """The low 16 bits in two's complement."""
        low = self[name] & 0xFFFF
        return low - 0x10000 if low & 0x8000 else low

    def scale(self, name: str) -> tuple[int, int]:
        """(multiplier, shift) of a scale register: 32 bits without sign, and 6 bits."""
        return self[name] & 0xFFFFFFFF, self[name] >> 32 & 0x3F


@dataclass(frozen=True)
class Operation:
    """An operation with its parameter and the registers that it sees; ``position`` is its word in the stream."""

    kind: str
    mode: int
    registers: Registers
    position: int


def operations(words: Sequence[int]) -> Iterator[Operation]:
    """What a stream does, in order. QgaitError names the register or operation that has no reading here."""
    values: dict[str, int] = {}
    for command in commands(words):
        if not command.starts:
            if command.name not in READ and command.name not in TIMING:
                raise not_modelled(f"NPU_SET_{command.name} at word {command.position}")
            values[command.name] = command.value
        elif command.name in WORK:
            yield Operation(command.name, command.value, Registers(values), command.position)
        elif command.name not in SKIPPED:
            raise not_modelled(f"NPU_OP_{command.name} at word {command.position}")
