"""What manifest.json says of a compiled network; docs/targets.md explains every entry."""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict
from typing import Any

import numpy as np

from qgait.compiler.assembly import Assembly
from qgait.compiler.memory_plan import HEADER_BYTES
from qgait.compiler.npu.call import NpuCall
from qgait.compiler.tvm.program import Step
from qgait.runtime.manifest_schema import FORMAT, VERSION
from qgait.version import __version__


def manifest(assembly: Assembly, flash: int, selftest_frames: list[int]) -> dict[str, Any]:
    """Everything but the NPU's segments, the list of files and the checksum."""
    program, memory = assembly.program, assembly.memory
    graph, target = program.graph, program.target
    embedding = graph.tensors[graph.output]
    return {
        "format": FORMAT,
        "version": VERSION,
        "prefix": assembly.prefix,
        "model": graph.model,
        "bits": graph.bits,
        "target": asdict(target),
        "input": {"name": graph.input, "dtype": "uint8", "shape": list(graph.tensors[graph.input].shape[:2])},
        "output": {
            "name": graph.output,
            "dtype": "int8",
            "shape": list(embedding.shape),
            "scales": [float(s) for s in np.broadcast_to(embedding.scale, embedding.shape[:1])],
            "zero_point": embedding.zero_point,
        },
        "macs": {"frame": graph.frame_macs, "embedding": graph.clip_macs},
        "timing": {
            "min_frames": graph.schedule.min_frames,
            "delay": graph.schedule.delay,
            "stride": graph.schedule.stride,
        },
        "memory": {
            "arena_bytes": memory.arena_bytes,
            "flash_bytes": flash,
            "header_bytes": HEADER_BYTES,
            "state_bytes": memory.state_bytes,
            "state": list(memory.state),
            "rings": graph.schedule.rings,
            "tensors": {
                name: {"offset": offset, "shape": list(graph.tensors[name].shape)}
                for name, offset in memory.tensors.items()
            },
            "scratch": memory.scratch,
        },
        "kernels": [
            *(_facts(step, "frame") for step in program.frame),
            *(_facts(step, "clip") for step in program.clip),
        ],
        "notes": list(program.notes),
        "selftest": {"frames": selftest_frames},
        "metadata": {},
        "provenance": dict(sorted(graph.provenance.items())),
        "versions": {
            "qgait": __version__,
            **{name: importlib.metadata.version(name) for name in ("apache-tvm", "ziglang", "numpy")},
        },
    }


def _facts(step: Step, phase: str) -> dict[str, Any]:
    return {
        "phase": phase,
        **({"segment": step.segment.name} if isinstance(step, NpuCall) else {"symbol": step.symbol}),
        "layers": list(step.ops),
        "inputs": list(step.inputs),
        "outputs": list(step.outputs),
        "constant_bytes": sum(array.nbytes for array in step.constants),
        "scratch_bytes": step.scratch_bytes,
    }
