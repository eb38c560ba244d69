"""What Vela makes of one segment: a command stream, its weights, where tensors lie, and figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """An int8 tensor that goes in or comes out, row by row with channels last: ``offset`` bytes into ``region``.

    ``shape`` is that of the graph's tensor ``name``, without the leading 1 of TOSA.
    """

    name: str
    shape: tuple[int, ...]
    region: int
    offset: int

    @property
    def size(self) -> int:
        """Bytes."""
        size = 1
        for axis in self.shape:
            size *= axis
        return size


@dataclass(frozen=True)
class LayerFigures:
    """Vela's estimate for one operator of its own; ``name`` is the tensor that it writes."""

    name: str
    operator: str
    cycles: int
    macs: int


@dataclass(frozen=True)
class Figures:
    """Vela's estimates, not measurements. Memory in bytes; ``macs`` counts what Vela calls MACs, moves included.

    ``access_cycles``: cycles by memory ("sram", "dram", "on_chip_flash", "off_chip_flash"), which overlap with
    ``npu_cycles``; ``cycles`` is the total. ``clock`` in Hz, ``weight_bandwidth`` in bytes a second is that of the
    memory with the weights.
    """

    cycles: int
    npu_cycles: int
    access_cycles: dict[str, int]
    clock: float
    macs: int
    sram: int
    dram: int
    flash: int
    weight_bandwidth: float
    layers: tuple[LayerFigures, ...]

    @property
    def milliseconds(self) -> float:
        """``cycles`` at ``clock``."""
        return 1e3 * self.cycles / self.clock


@dataclass(frozen=True, eq=False)
class CompiledSegment:
    """One command stream as Arm's ethos-u driver takes it.

    ``command_stream`` begins with the driver's header ("COP1"). ``weights`` is the content of ``weight_region``
    (read only), ``scratch`` and ``scratch_fast`` are (region, bytes) of working memory; a size of 0 means that the
    region is not used. ``inputs`` and ``outputs`` lie in ``scratch`` and may share its bytes, so inputs are written
    before every run and outputs read after it. ``accelerator``, ``system_config`` and ``memory_mode`` are Vela's names.
    """

    name: str
    accelerator: str
    system_config: str
    memory_mode: str
    command_stream: bytes
    weights: bytes
    weight_region: int
    scratch: tuple[int, int]
    scratch_fast: tuple[int, int]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    figures: Figures
