"""Compiles the segments of a partition within a budget of SRAM, and finds the operator that Vela does not take."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from qgait.compiler.npu.ethosu.forms import tosa_for
from qgait.compiler.npu.ethosu.limits import Stay
from qgait.compiler.npu.ethosu.vela import Strategy, VelaError, VelaOptions, compile_segment, compile_tflite
from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.operators import Op
from qgait.export.segments import Segment, segment_of
from qgait.runtime.ethosu.segment import CompiledSegment
from qgait.targets.accelerators import NpuTarget
from qgait.targets.memory import KIB

# Vela's strategies and the share of the SRAM that it is told: it may take more than that, and less when told less
LADDER: tuple[tuple[tuple[Strategy, float], ...], ...] = (
    (("Performance", 1), ("Size", 1)),
    (("Performance", 0.75), ("Performance", 0.5), ("Performance", 0)),
)
WAITING = 1 / 3  # of all cycles, the share of flash from which on a second schedule is tried
TIGHTER = 0.95  # of the SRAM that the first one takes


class SramError(QgaitError):
    """A segment does not fit into the budget."""


@dataclass(frozen=True, eq=False)
class Made:
    """A segment's TOSA file, what Vela made of it, and with which options."""

    tosa: bytes
    options: VelaOptions
    compiled: CompiledSegment


@dataclass
class SegmentCompiler:
    """Vela on the segments of one graph; what was compiled once is not compiled again.

    ``sram`` bytes are the most that a command stream may use, None for as much as its memory mode has. Of the streams
    that fit the fastest is taken.
    """

    graph: Graph
    accelerator: NpuTarget
    options: VelaOptions
    sram: int | None = None
    _known: dict[tuple[str, ...], Made] = field(default_factory=dict)

    def compiled(self, segment: Segment) -> CompiledSegment:
        """SramError when the budget cannot be met, VelaError when Vela does not take the segment."""
        return replace(self._made(segment).compiled, name=segment.name)

    def tosa(self, segment: Segment) -> bytes:
        """What was compiled."""
        return self._made(segment).tosa

    def tflite(self, segment: Segment) -> bytes:
        """The same command stream as a TensorFlow Lite file."""
        made = self._made(segment)
        return compile_tflite(made.tosa, self.accelerator, made.options, segment.name)

    def rejected(self, segment: Segment, error: VelaError) -> dict[str, Stay]:
        """The operators of ``segment`` that Vela does not take by themselves, with its reason.

        Raises ``error`` when it takes each of them: then there is nothing to leave to the host.
        """
        found = {op.name: why for op in segment.ops if (why := self._refusal(op)) is not None}
        if not found:
            raise error
        return found

    def _made(self, segment: Segment) -> Made:
        key = tuple(op.name for op in segment.ops)
        if key not in self._known:
            self._known[key] = self._within_budget(tosa_for(self.graph, segment, self.accelerator), segment.name)
        return self._known[key]

    def _within_budget(self, tosa: bytes, name: str) -> Made:
        if self.sram is None:
            return self._fastest(tosa, name)
        tried = []
        for strategies in LADDER:
            for optimise, share in strategies:
                options = replace(self.options, arena_cache=int(share * self.sram), optimise=optimise)
                tried.append(self._try(tosa, options, name))
            fitting = [made for made in tried if made.compiled.figures.sram <= self.sram]
            if fitting:
                break
        else:
            needed = min(made.compiled.figures.sram for made in tried)
            raise SramError(
                f"{self.sram / KIB:,.0f} KiB of SRAM are too few for the command stream of {name}, which needs "
                f"{needed / KIB:,.0f} KiB, {(needed - self.sram) / KIB:,.1f} KiB more.",
                "allow more: `sram`, choose a `memory_mode` with DRAM, or take a narrower network.",
            )
        return min(fitting, key=lambda made: made.compiled.figures.cycles)

    def _fastest(self, tosa: bytes, name: str) -> Made:
        """Where weights take long to come from flash, Vela often finds a faster schedule in a little less SRAM."""
        made = self._try(tosa, self.options, name)
        figures = made.compiled.figures
        waits = figures.access_cycles["off_chip_flash"] > WAITING * figures.cycles
        if not waits or self.options.arena_cache is not None:
            return made
        tighter = replace(self.options, arena_cache=int(TIGHTER * figures.sram))
        return min(made, self._try(tosa, tighter, name), key=lambda made: made.compiled.figures.cycles)

    def _try(self, tosa: bytes, options: VelaOptions, name: str) -> Made:
        return Made(tosa, options, compile_segment(tosa, self.accelerator, options, name))

    def _refusal(self, op: Op) -> Stay | None:
        alone = segment_of(self.graph, (op,), "alone")
        try:
            compile_segment(tosa_for(self.graph, alone, self.accelerator), self.accelerator, self.options, "alone")
        except VelaError as error:
            return Stay(f"Vela does not take it: {error.reason}", "change the layer, or choose another accelerator.")
        return None
