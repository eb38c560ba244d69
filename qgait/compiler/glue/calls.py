"""Calls of kernels and runs of the NPU in the generated C."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from qgait.compiler.npu.call import NpuCall
from qgait.compiler.tvm.program import C_TYPES, SILHOUETTE, Kernel, Program, Step
from qgait.compiler.views import View
from qgait.export.segments import BEFORE

Address = Callable[[str], str]  # the C expression for where a tensor is


class Calls:
    """Writes calls; ``constants`` has the offsets of every kernel's constants by its symbol."""

    def __init__(self, program: Program, constants: dict[str, list[int]], prefix: str) -> None:
        self.program, self._constants = program, constants
        self._weights, self._failure = f"{prefix}_weights", f"{prefix.upper()}_NPU"

    def of(self, steps: Sequence[Step], address: Address) -> str:
        """One step after the other."""
        return "\n".join(line for step in steps for line in self.call(step, address))

    def call(self, step: Step, address: Address) -> list[str]:
        """A step on tensors at their addresses. It leaves the function where the NPU fails."""
        if isinstance(step, NpuCall):
            return self._run(step, address)
        inputs = ["(const int8_t *)frame" if name == SILHOUETTE else address(name) for name in step.inputs]
        return self.call_on(step, inputs, address(step.output))

    def call_on(self, kernel: Kernel, inputs: Sequence[str], output: str) -> list[str]:
        """A kernel on pointers."""
        weights = [
            f"(const {C_TYPES[array.dtype.name]} *)({self._weights} + {offset})"
            for array, offset in zip(kernel.constants, self._constants[kernel.symbol], strict=True)
        ]
        start = f"base + scratch_{kernel.symbol}"
        scratch = [f"{start} + {offset}" if offset else start for offset, _ in kernel.working.values()]
        return [
            f"    /* {plain(', '.join(kernel.ops) or kernel.output)} */",
            f"    {kernel.symbol}({', '.join([*inputs, *weights, *scratch, output])});",
            self._trace(kernel, kernel.output, output),
        ]

    def streams(self) -> list[str]:
        """What the NPU's runs are, for ``gait_npu_run``."""
        lines = ["", '#include "npu_driver.h"', ""] if self.program.calls else []
        for call in self.program.calls:
            ports = {"inputs": call.compiled.inputs, "outputs": call.compiled.outputs}
            for what, listed in ports.items():
                lines += [f"static const struct gait_npu_tensor {call.symbol}_{what}[] = {{"]
                lines += [f'    {{"{plain(port.name)}", {port.offset}, {port.size}}},' for port in listed] + ["};"]
            commands, weights = self._constants[call.symbol]
            fields = {
                "name": f'"{plain(call.segment.name)}"',
                "commands": f"{self._weights} + {commands}",
                "command_bytes": len(call.compiled.command_stream),
                "weights": f"{self._weights} + {weights}",
                "weight_bytes": len(call.compiled.weights),
                "scratch_bytes": call.scratch_bytes,
                "fast_bytes": call.fast_bytes,
                **{what: f"{call.symbol}_{what}" for what in ports},
                **{f"{what}_count": len(listed) for what, listed in ports.items()},
            }
            lines += [f"static const struct gait_npu_stream {call.symbol} = {{"]
            lines += [f"    .{field} = {value}," for field, value in fields.items()] + ["};"]
        return lines

    def _run(self, call: NpuCall, address: Address) -> list[str]:
        """Copies in what does not lie in the scratch memory yet, runs, and copies out."""
        scratch = f"base + scratch_{call.symbol}"
        lines = [f"    /* the NPU: {plain(', '.join(call.ops))} */"]
        for port in call.compiled.inputs:
            tensor = port.name if port.name in call.inputs else port.name.removesuffix(BEFORE)
            if self.program.views.get(tensor) != View(call.symbol, port.offset):
                lines += [f"    copy_codes({scratch} + {port.offset}, {address(tensor)}, {port.size});"]
        lines += [
            f"    if (gait_npu_run(&{call.symbol}, (uint8_t *){scratch}) != 0)",
            f"        return {self._failure};",
        ]
        for port in call.compiled.outputs:
            if self.program.views.get(port.name) != View(call.symbol, port.offset):
                lines += [f"    copy_codes({address(port.name)}, {scratch} + {port.offset}, {port.size});"]
        return lines + [self._trace(call, name, address(name)) for name in call.outputs]

    def _trace(self, step: Step, tensor: str, address: str) -> str:
        number, size = self.program.results.index((step, tensor)), self.program.graph.tensors[tensor].size
        return f"    TRACE({number}, {address}, {size});"


def plain(text: str) -> str:
    """Names come from files of strangers: nothing of them ends a C string or comment."""
    return re.sub(r"[^\w .,+:-]", "_", text, flags=re.ASCII)
