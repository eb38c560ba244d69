"""Which tensors lie in the scratch memory of an NPU's run from the start, so that nothing copies them in or out.

That memory is one piece as long as any tensor in it is needed. So only tensors do that pass straight between the run
and kernels around it: two runs never need theirs at the same time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from qgait.runtime.npu.call import NpuCall
from qgait.runtime.views import View

if TYPE_CHECKING:
    from qgait.runtime.tvm.program import Step


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
    for at in runs:
        step = steps[at]
        assert isinstance(step, NpuCall)
        for name in step.inputs:
            straight = name in made and not any(made[name] <= other < at for other in runs)
            if name not in taken and straight and last[name] == at:
                found[name] = View(step.symbol, step.input_port(name).offset)
        for name in step.outputs:
            straight = not any(at < other <= last.get(name, len(steps)) for other in runs)
            if name not in taken and straight:
                found[name] = View(step.symbol, step.output_port(name).offset)
    return found
