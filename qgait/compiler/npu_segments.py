"""The segments of an NPU in a bundle: their files, what the manifest says of them, and the way back."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qgait.compiler.device import DEVICE
from qgait.compiler.npu.call import FAST, SCRATCH, WEIGHTS, driver
from qgait.compiler.npu.partition import staying
from qgait.compiler.npu.plan import NpuPlan
from qgait.export.graph import Graph
from qgait.export.schedule import output_tensor
from qgait.export.segments import Segment
from qgait.reading import MIB, file_sha256
from qgait.runtime.bundle import Bundle
from qgait.runtime.ethosu.segment import CompiledSegment, Figures, LayerFigures, Port

FORMS = ("tosa", "tflite", "commands", "weights")


def vela_digest(config: Path) -> str:
    """What the manifest tells of a vela.ini of one's own, its sha256; QgaitError when it cannot be read."""
    return file_sha256(config, MIB, "give the vela.ini of the board.")


def write_segments(plan: NpuPlan, folder: Path) -> dict[str, Any]:
    """Writes npu/ and the C files of the driver into a bundle's ``folder``; answers the manifest's entry ``npu``."""
    (folder / "npu").mkdir()
    for name in ("npu_driver.h", driver(plan.host)):
        shutil.copyfile(DEVICE / name, folder / name)
    for name, compiled in plan.compiled.items():
        contents = (plan.tosa[name], plan.tflite[name], compiled.command_stream, compiled.weights)
        for form, content in zip(FORMS, contents, strict=True):
            (folder / _file(name, form)).write_bytes(content)
    first = next(iter(plan.compiled.values()))
    return {
        "accelerator": plan.accelerator.name,
        "system_config": first.system_config,
        "memory_mode": first.memory_mode,
        "options": {
            "sram_bytes": plan.sram,
            "host_fallback": plan.host_fallback,
            "vela_config": None if plan.config is None else vela_digest(plan.config),
        },
        "segments": [_facts(plan.graph, segment, plan.compiled[segment.name]) for segment in plan.partition.segments],
        "host": [
            {"operator": op.name, "kind": type(op).__name__, "reason": why.reason, "fix": why.fix}
            for op, why in staying(plan.graph, plan.partition)
        ],
        "choices": [
            {"what": choice.what, "npu_ms": choice.npu, "host_ms": choice.host, "place": choice.place}
            for choice in plan.choices
        ],
    }


def read_segments(bundle: Bundle) -> list[CompiledSegment]:
    """The compiled segments of an NPU's ``bundle``, in the order in which they run."""
    assert bundle.npu is not None
    return [_read(bundle.path, bundle.npu, facts) for facts in bundle.npu["segments"]]


def _file(segment: str, form: str) -> str:
    return f"npu/{segment}.{form}"


def _facts(graph: Graph, segment: Segment, compiled: CompiledSegment) -> dict[str, Any]:
    runs = graph.series.get(output_tensor(segment.ops[0]))
    ports = {
        what: [{"name": port.name, "shape": list(port.shape), "offset": port.offset} for port in listed]
        for what, listed in (("inputs", compiled.inputs), ("outputs", compiled.outputs))
    }
    return {
        "name": segment.name,
        "phase": "frame" if runs else "clip",
        "stride": runs.stride if runs else 1,
        "files": {form: _file(segment.name, form) for form in FORMS},
        "operators": [op.name for op in segment.ops],
        "macs": sum(op.macs(graph.tensors) for op in segment.ops),
        **ports,
        "scratch_bytes": compiled.scratch[1],
        "fast_bytes": compiled.scratch_fast[1],
        "estimate": asdict(compiled.figures),
    }


def _read(folder: Path, npu: dict[str, Any], facts: dict[str, Any]) -> CompiledSegment:
    figures = facts["estimate"]
    layers = tuple(LayerFigures(**layer) for layer in figures["layers"])
    ports = {
        what: tuple(Port(port["name"], tuple(port["shape"]), SCRATCH, port["offset"]) for port in facts[what])
        for what in ("inputs", "outputs")
    }
    return CompiledSegment(
        name=facts["name"],
        accelerator=npu["accelerator"],
        system_config=npu["system_config"],
        memory_mode=npu["memory_mode"],
        command_stream=(folder / facts["files"]["commands"]).read_bytes(),
        weights=(folder / facts["files"]["weights"]).read_bytes(),
        weight_region=WEIGHTS,
        scratch=(SCRATCH, facts["scratch_bytes"]),
        scratch_fast=(FAST, facts["fast_bytes"]),
        figures=Figures(**{**figures, "layers": layers}),
        **ports,
    )
