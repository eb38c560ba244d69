"""Which tensors lie in the scratch memory of an NPU's run from the start, so that nothing copies them in or out.

That memory is one piece as long as any tensor in it is needed. Only so many tensors do that two runs never need theirs
at the same step: a run's memory may be the next one's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from qgait.compiler.npu.call import NpuCall
from qgait.compiler.views import View

if TYPE_CHECKING:
    from qgait.compiler.tvm.program import Step


def placed(steps: Sequence[Step], kept: Collection[str], views: Mapping[str, View]) -> dict[str, View]:
    """Inputs and outputs of the runs in ``steps`` that lie in their scratch memory, which has the run's symbol as name.

    Not those in ``kept``, which outlive a frame, nor ``views`` and what these lie in, which have their place: all of
    these are copied.
    """
    taken = {*kept, *views, *(view.base for view in views.values())}
    made = {name: at for at, step in enumerate(steps) for name in step.outputs}
    last = {name: at for at, step in enumerate(steps) for name in step.inputs}
    runs = [at for at, step in enumerate(steps) if isinstance(step, NpuCall)]
    found: dict[str, View] = {}
    end = -1  # the last step that needs the memory of an earlier run
    for at, following in zip(runs, [*runs[1:], len(steps) + 1], strict=False):  # nothing follows where no run is
        step = steps[at]
        assert isinstance(step, NpuCall)
        for name in step.inputs:
            if name not in taken and name in made and made[name] > end and last[name] == at:
                found[name] = View(step.symbol, step.input_port(name).offset)
        end = at
        for name in step.outputs:
            until = last.get(name, len(steps))
            if name not in taken and until < following:
                found[name] = View(step.symbol, step.output_port(name).offset)
                end = max(end, until)
    return found
