"""Numbers and kernel calls for glue_streams.c.in, which has the rules of ``qgait.export.schedule`` in C."""

from __future__ import annotations

from itertools import groupby

from qgait.compiler.glue.calls import Calls
from qgait.compiler.memory_plan import MemoryPlan
from qgait.compiler.npu.call import NpuCall
from qgait.compiler.tvm.program import Step
from qgait.export.schedule import LIMIT, UNENDED
from qgait.export.timing import Series


def streaming(calls: Calls, plan: MemoryPlan, places: dict[str, str]) -> dict[str, object]:
    """What glue_streams.c.in asks for; ``places`` are the C names of the tensors' offsets."""
    times = calls.program.graph.schedule
    writer = _Streams(calls, plan, places)
    return {
        "neighbours": max((window.size for window in times.windows.values()), default=1),
        "stored_frames": times.stored_frames,
        "min_frames": times.min_frames,
        "flush": times.flush,
        "needs_copy": int(times.needs_copy),
        "copy": plan.copy,
        "frames_at": plan.frames_at,
        "kept_at": plan.kept_at,
        "kept_end": plan.state_end,
        "limit": LIMIT,
        "period": times.period,
        "unended": UNENDED,
        "frame_steps": writer.frame_steps(),
        "clip_steps": calls.of(calls.program.clip, writer.place),
        "embedding_base": writer.base(calls.program.graph.output),
    }


class _Streams:
    def __init__(self, calls: Calls, plan: MemoryPlan, places: dict[str, str]) -> None:
        self.calls, self.plan, self.places = calls, plan, places
        self.program, self.times = calls.program, calls.program.graph.schedule

    def frame_steps(self) -> str:
        """Everything in ``run_frame``: kernels that run in the same steps share one condition."""
        lines = []
        for of, steps in groupby(self.program.frame, self._runs):
            lines.append(f"    if (due(t, n, {of.stride}, {of.extra}, {of.delay}, &value)) {{")
            for step in steps:
                lines += [f"    {line}" for line in self._call(step)]
            lines.append("    }")
        return "\n".join(lines)

    def place(self, name: str) -> str:
        """Where a tensor is: what is kept from frame to frame, in the copy if there is one."""
        return f"{self.base(name)} + {self.places[name]}"

    def _runs(self, step: Step) -> Series:
        """When a step of a frame runs; a maximum has no series of its own."""
        of = self.times.series
        if isinstance(step, NpuCall):
            return of[step.clock]
        return of[step.output if step.output in of else step.inputs[0]]

    def base(self, name: str) -> str:
        """The start of the memory that a tensor is in."""
        owner = self.program.owner(name)
        return "kept" if owner in self.plan.state or owner in self.plan.rings else "base"

    def _value(self, name: str) -> str:
        """Where value number ``value`` of a tensor of a frame is."""
        at = self.place(name)
        owner = self.program.owner(name)
        depth = self.times.rings.get(owner, 1)
        return at if depth == 1 else f"{at} + value % {depth} * {self.plan.rings[owner]}"

    def _call(self, step: Step) -> list[str]:
        window = None if isinstance(step, NpuCall) else self.times.windows.get(step.output)
        if isinstance(step, NpuCall) or window is None:
            return self.calls.call(step, self._value)
        source = self.times.series[window.source]
        look = [
            f"kept + {self.places[window.source]}",
            f"{self.plan.rings[window.source]}",
            f"{self.times.rings[window.source]}",
            f"value * {window.stride} - {window.padding}",
            f"{window.size}",
            f"(n + {source.extra}) / {source.stride}",
        ]
        inputs = [f"w.value[{i}]" for i in range(window.size)]
        return [
            f"    look(&w, {', '.join(look)});",
            *self.calls.call_on(step, [*inputs, "w.present"], self._value(step.output)),
        ]
