"""The C of networks that look at neighbouring frames: the rules of ``qgait.export.schedule``, written out.

``run_frame`` is one step. gait_push calls it on what is kept; gait_embedding calls it on a copy of that to finish the
clip. ``kept`` is the start of the arena, or as far behind it as the copy lies behind the original.
"""

from __future__ import annotations

from itertools import groupby
from string import Template

from qgait.compiler.glue.calls import Calls
from qgait.compiler.memory_plan import MemoryPlan
from qgait.compiler.npu.call import NpuCall
from qgait.compiler.tvm.program import Step
from qgait.export.schedule import LIMIT, UNENDED
from qgait.export.timing import Series


def calls_of_streams(calls: Calls, plan: MemoryPlan, places: dict[str, str]) -> list[str]:
    """gait_push and gait_embedding; ``places`` are the C names of the tensors' offsets."""
    writer = _Streams(calls, plan, places)
    return [*writer.step(), *writer.push(), *writer.embedding()]


class _Streams:
    def __init__(self, calls: Calls, plan: MemoryPlan, places: dict[str, str]) -> None:
        self.calls, self.plan, self.places = calls, plan, places
        self.program, self.times = calls.program, plan.schedule

    def step(self) -> list[str]:
        """The helpers and ``run_frame``: kernels that run in the same steps share one condition."""
        most = max((window.size for window in self.times.windows.values()), default=1)
        lines = [HELPERS.substitute(neighbours=most)]
        for of, steps in groupby(self.program.frame, self._runs):
            lines.append(f"    if (due(t, n, {of.stride}, {of.extra}, {of.delay}, &value)) {{")
            for step in steps:
                lines += [f"    {line}" for line in self._call(step)]
            lines.append("    }")
        return [*lines, "    return GAIT_OK;", "}"]

    def push(self) -> list[str]:
        """gait_push."""
        limit = {"unended": UNENDED, "limit": LIMIT, "back": LIMIT - self.times.period}
        store = []
        if self.times.stored_frames:
            store = [
                f"    if (t < {self.times.stored_frames})",
                "        for (size_t i = 0; i < GAIT_FRAME_BYTES; i++)",
                f"            base[{self.plan.frames_at} + t * GAIT_FRAME_BYTES + i] = (int8_t)frame[i];",
            ]
        around = {"store": [*store, *self.calls.broken()], "whole": self.calls.whole()}
        return [PUSH.substitute(limit, **{where: "\n".join([*lines, ""]) for where, lines in around.items()})]

    def embedding(self) -> list[str]:
        """gait_embedding."""
        kept, copy = "base", []
        if self.times.needs_copy:
            kept = "copy"
            numbers = {
                "copy": self.plan.copy,
                "kept_at": self.plan.kept_at,
                "kept_end": self.plan.state_end,
                "flush": self.times.flush,
                "frames_at": self.plan.frames_at,
                "min_frames": self.times.min_frames,
                "unended": UNENDED,
            }
            parts = [COPY, *([REPEAT] if self.times.stored_frames else []), FINISH]
            copy = [part.substitute(numbers) for part in parts]
        lines = [EMBEDDING, *copy]
        for step in self.program.clip:
            lines += self.calls.call(step, lambda name: f"{self._base(name, kept)} + {self.places[name]}")
        lines += ["    for (size_t i = 0; i < GAIT_EMBEDDING_BYTES; i++)"]
        output = self.program.graph.output
        lines += [f"        out[i] = {self._base(output, kept)}[{self.places[output]} + i];"]
        return [*lines, "    return GAIT_OK;", "}", ""]

    def _runs(self, step: Step) -> Series:
        """When a step of a frame runs; a maximum has no series of its own."""
        of = self.times.series
        if isinstance(step, NpuCall):
            return of[step.clock]
        return of[step.output if step.output in of else step.inputs[0]]

    def _base(self, name: str, kept: str) -> str:
        owner = self.program.owner(name)
        return kept if owner in self.plan.state or owner in self.plan.rings else "base"

    def _value(self, name: str) -> str:
        """Where value number ``value`` of a tensor of a frame is."""
        at = f"{self._base(name, 'kept')} + {self.places[name]}"
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


HELPERS = Template("""
/* Numbers of the network become constants in every call: a processor that cannot divide needs no library for it. */
#define INLINED static inline __attribute__((always_inline))

/* Whether a series of a clip of n frames makes a value in step t, and which one. */
INLINED int due(int32_t t, int32_t n, int32_t stride, int32_t extra, int32_t delay, int32_t *value)
{
    *value = (t - delay) / stride;
    return t >= delay && (t - delay) % stride == 0 && *value < (n + extra) / stride;
}

/* Neighbouring values in a ring; one that is missing has the address of one that is there. */
struct window {
    const int8_t *value[$neighbours];
    int8_t present[$neighbours];
};

INLINED void look(struct window *w, const int8_t *ring, int32_t bytes, int32_t depth, int32_t first, int32_t size,
                  int32_t length)
{
    int32_t newest = (first + size < length ? first + size : length) - 1;
    for (int32_t i = 0; i < size; i++) {
        int present = first + i >= 0 && first + i < length;
        w->present[i] = present ? -1 : 0;
        w->value[i] = ring + (present ? first + i : newest) % depth * bytes;
    }
}

/* Step t of a clip of n frames: everything that frame t, or the end of the clip before it, makes known. */
static int run_frame(int8_t *base, int8_t *kept, const uint8_t *frame, int32_t t, int32_t n)
{
    int32_t value;
    struct window w;""")

PUSH = Template("""
int gait_push(void *arena, const uint8_t *frame)
{
    if (arena == NULL || frame == NULL)
        return GAIT_NULL;
    int8_t *base = base_of(arena);
    if (state_of(base)->check != check_of(base))
        return GAIT_BAD_ARENA;
    int32_t t = (int32_t)state_of(base)->frames;
$store    int answer = run_frame(base, base, frame, t, $unended);
    if (answer != GAIT_OK)
        return answer;
$whole    state_of(base)->frames = t + 1 == $limit ? $back : (uint32_t)t + 1;
    return GAIT_OK;
}""")

EMBEDDING = """
int gait_embedding(void *arena, int8_t *out)
{
    if (arena == NULL || out == NULL)
        return GAIT_NULL;
    int8_t *base = base_of(arena);
    if (state_of(base)->check != check_of(base))
        return GAIT_BAD_ARENA;
    if (state_of(base)->frames == 0)
        return GAIT_NO_FRAME;"""

COPY = Template("""\
    int8_t *copy = base + $copy;
    for (size_t i = $kept_at; i < $kept_end; i++)
        copy[i] = base[i];
    int32_t frames = (int32_t)state_of(base)->frames, end = frames;""")

REPEAT = Template("""\
    /* a short clip is repeated end to end */
    for (int32_t again = 0; end < $min_frames || again != 0; end++) {
        const uint8_t *frame = (const uint8_t *)base + $frames_at + again * GAIT_FRAME_BYTES;
        int answer = run_frame(base, copy, frame, end, $unended);
        if (answer != GAIT_OK)
            return answer;
        again = again + 1 == frames ? 0 : again + 1;
    }""")

FINISH = Template("""\
    /* steps without a frame make what looks beyond the clip */
    for (int32_t t = end; t < end + $flush; t++) {
        int answer = run_frame(base, copy, NULL, t, end);
        if (answer != GAIT_OK)
            return answer;
    }""")
