"""What goes to the NPU and what to its host, decided by Vela's estimates, and everything compiled for the NPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qgait.compiler.npu.ethosu.limits import Stay
from qgait.compiler.npu.ethosu.segment_compiler import SegmentCompiler, SramError
from qgait.compiler.npu.ethosu.vela import VelaError, VelaOptions
from qgait.compiler.npu.partition import ALONE, Partition, Place, partition, staying
from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.operators import FrameMax
from qgait.export.segments import Segment
from qgait.progress import Progress, untold
from qgait.runtime.ethosu.segment import CompiledSegment
from qgait.targets.accelerators import NpuTarget
from qgait.targets.host_speed import HostSpeed
from qgait.targets.processors import Target, processor

MAXIMUM, HEAD = "running maxima, a frame", "head, an embedding"
TOO_LARGE = Stay("its command stream would take more SRAM than there is", "allow more with --sram.")


@dataclass(frozen=True)
class Choice:
    """Work that NPU and host can both do, with the milliseconds that it takes on each, by estimates."""

    what: str
    npu: float
    host: float

    @property
    def place(self) -> Place:
        """The faster one."""
        return "npu" if self.npu <= self.host else "host"


@dataclass(frozen=True, eq=False)
class NpuPlan:
    """A network for an NPU and its ``host``.

    ``compiled``, ``tosa`` and ``tflite`` hold every segment of ``partition`` by its name: its command stream, the graph
    that Vela read, and the same stream as a TensorFlow Lite file. ``choices`` is what was decided by figures.
    ``sram``, ``host_fallback`` and the vela.ini ``config`` are what `plan` was told.
    """

    graph: Graph
    accelerator: NpuTarget
    host: Target
    partition: Partition
    compiled: dict[str, CompiledSegment]
    tosa: dict[str, bytes]
    tflite: dict[str, bytes]
    choices: tuple[Choice, ...]
    sram: int | None = None
    host_fallback: bool = True
    config: Path | None = None


def plan(
    graph: Graph,
    accelerator: NpuTarget,
    host: Target,
    options: VelaOptions,
    sram: int | None = None,
    host_fallback: bool = True,
    report: Progress = untold,
) -> NpuPlan:
    """Cuts and compiles ``graph``.

    ``options`` are checked ones (system.py). ``sram`` bytes are the most that a command stream may use. Without
    ``host_fallback`` everything that a segment can hold goes to the NPU, and QgaitError names an operator that cannot.
    """
    compiler = SegmentCompiler(graph, accelerator, options, sram)
    left: dict[str, Stay] = {}
    made = _settled(compiler, left, report, host_fallback)
    choices: tuple[Choice, ...] = ()
    if host_fallback:
        alternative = _settled(compiler, left, report, host_fallback, maximum="host")
        choices = _choices(compiler, made, alternative, processor(host).speed)
        places = {choice.what: choice.place for choice in choices}
        maximum, head = (places.get(what, "npu") for what in (MAXIMUM, HEAD))
        made = partition(graph, accelerator, maximum, head, left)
    if not made.segments:
        raise QgaitError(
            f"Nothing of {graph.model} runs on {accelerator.name}.", f"compile it for the host alone: {host.name}."
        )
    tflite = {}
    for i, segment in enumerate(made.segments):
        tflite[segment.name] = compiler.tflite(segment)
        report("Vela, as TensorFlow Lite", i + 1, len(made.segments))
    compiled = {segment.name: compiler.compiled(segment) for segment in made.segments}
    tosa = {segment.name: compiler.tosa(segment) for segment in made.segments}
    return NpuPlan(graph, accelerator, host, made, compiled, tosa, tflite, choices, sram, host_fallback, options.config)


def _settled(
    compiler: SegmentCompiler, left: dict[str, Stay], report: Progress, host_fallback: bool, maximum: Place = "npu"
) -> Partition:
    """A partition of which Vela took every segment; what it did not take is added to ``left``."""
    while True:
        made = partition(compiler.graph, compiler.accelerator, maximum, left=left)
        if not host_fallback:
            _refuse_host(compiler, made)
        segment = None
        try:
            for i, segment in enumerate(made.segments):
                compiler.compiled(segment)
                report(f"Vela, running maxima on the {maximum}", i + 1, len(made.segments))
        except VelaError as error:
            assert segment is not None
            left |= compiler.rejected(segment, error)
        except SramError:
            assert segment is not None
            spared = [op.name for op in segment.ops if isinstance(op, FrameMax) or segment in made.clip]
            if not spared or not host_fallback:
                raise
            left |= dict.fromkeys(spared, TOO_LARGE)
        else:
            return made


def _refuse_host(compiler: SegmentCompiler, made: Partition) -> None:
    staying_ops = list(staying(compiler.graph, made))
    if staying_ops:
        op, why = next((pair for pair in staying_ops if pair[1] is not ALONE), staying_ops[0])
        others = f" ({len(staying_ops)} operators in all)" if len(staying_ops) > 1 else ""
        raise QgaitError(
            f"{op.name} ({type(op).__name__}) does not run on {compiler.accelerator.name}{others}: {why.reason}.",
            f"{why.fix} Or leave `host_fallback=False` out.",
        )


def _choices(compiler: SegmentCompiler, on_npu: Partition, on_host: Partition, speed: HostSpeed) -> tuple[Choice, ...]:
    graph = compiler.graph
    size = {name: tensor.size for name, tensor in graph.tensors.items()}
    frames = [_frames(made) for made in (on_npu, on_host)]
    times = [sum(compiler.compiled(segment).figures.milliseconds for segment in segments) for segments in frames]
    clock = compiler.compiled(on_npu.segments[0]).figures.clock if on_npu.segments else compiler.accelerator.clock
    made = []
    moved = sum(size[name] for segment in frames[0] for name in segment.state)
    if moved:  # the NPU has every maximum copied in and out
        on = times[0] - times[1] + speed.milliseconds(clock, moved=2 * moved)
        made.append(Choice(MAXIMUM, on, speed.milliseconds(clock, moved=moved)))
    heads = [unit for unit in on_npu.clip if isinstance(unit, Segment)]
    if heads:
        streams = [compiler.compiled(head) for head in heads]
        moved = sum(size[name] for head in heads for name in head.inputs)
        on = sum(stream.figures.milliseconds for stream in streams) + speed.milliseconds(clock, moved=moved)
        macs = sum(op.macs(graph.tensors) for head in heads for op in head.ops)
        weights = sum(op.parameters for head in heads for op in head.ops)
        reading = 1e3 * weights / streams[0].figures.weight_bandwidth  # from flash or DRAM, as the NPU does
        made.append(Choice(HEAD, on, max(speed.milliseconds(clock, macs), reading)))
    return tuple(made)


def _frames(made: Partition) -> list[Segment]:
    return [unit for unit in made.frame if isinstance(unit, Segment)]
