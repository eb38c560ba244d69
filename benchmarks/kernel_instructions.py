"""Executed instructions of one kernel under QEMU: exact and repeatable, whatever the machine."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from kernel_driver import build_driver, calls_of, driver_command
from numpy.typing import NDArray

from qgait.compiler.tvm.program import Kernel
from qgait.export.graph import Graph
from qgait.runtime.qemu import count_instructions
from qgait.targets.processors import Target


def instructions(kernel: Kernel, graph: Graph, target: Target, tensors: Mapping[str, NDArray[np.int8]]) -> int:
    """Of one run of ``kernel``, the difference of three runs and one, halved.

    ``tensors`` has its inputs, and its output, with which the result is compared before it counts.
    """
    wanted = tensors[kernel.output]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        driver, data = build_driver([kernel], target, folder), folder / "data"
        data.write_bytes(calls_of([kernel], graph, tensors).file())
        one, three = (count_instructions(driver_command(driver, data, target, n), folder) for n in (1, 3))
        found = np.fromfile(folder / "outputs", np.int8).reshape(wanted.shape)
    np.testing.assert_array_equal(found, wanted)
    return (three - one) // 2
