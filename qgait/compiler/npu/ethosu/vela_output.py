"""Reads what Vela writes: the raw .npz, the summary and the figures of every layer."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qgait.runtime.ethosu.segment import CompiledSegment, Figures, LayerFigures, Port
from qgait.targets.memory import KIB

MEMORIES = ("sram", "dram", "on_chip_flash", "off_chip_flash")
GIB = 2**30


def read_segment(folder: Path, name: str, accelerator: str, tosa: bytes) -> CompiledSegment:
    """The segment that Vela wrote to ``folder`` as ``name``; ``tosa`` tells the names of its tensors."""
    inputs, outputs = port_names(tosa)
    summary = _summary(folder, name)
    with np.load(folder / f"{name}_vela.npz", allow_pickle=True) as raw:  # allow_pickle: quantization, which is empty
        return CompiledSegment(
            name=name,
            accelerator=accelerator,
            system_config=summary["system_config"],
            memory_mode=summary["memory_mode"],
            command_stream=raw["cmd_data"].tobytes(),  # an array of type S: its item would lose zeros at the end
            weights=raw["weight_data"].tobytes(),
            weight_region=int(raw["weight_region"]),
            scratch=(int(raw["scratch_region"]), int(raw["scratch_size"])),
            scratch_fast=(int(raw["scratch_fast_region"]), int(raw["scratch_fast_size"])),
            inputs=_ports(raw, "input", inputs),
            outputs=_ports(raw, "output", outputs),
            figures=read_figures(folder, name),
        )


def read_figures(folder: Path, name: str) -> Figures:
    """Vela's estimates alone, of any network that it compiled."""
    return _figures(_summary(folder, name), folder / f"{name}_per-layer.csv")


def port_names(tosa: bytes) -> tuple[list[tuple[str, tuple[int, ...]]], list[tuple[str, tuple[int, ...]]]]:
    """(name, shape without the leading 1) of every input and of every output of a TOSA flatbuffer, in its order."""
    from tosa.TosaGraph import TosaGraph

    block = TosaGraph.GetRootAs(tosa, 0).Regions(0).Blocks(0)
    tensors = (block.Tensors(i) for i in range(block.TensorsLength()))
    shapes = {t.Name().decode(): tuple(int(t.Shape(i)) for i in range(1, t.ShapeLength())) for t in tensors}
    inputs = [block.Inputs(i).decode() for i in range(block.InputsLength())]
    outputs = [block.Outputs(i).decode() for i in range(block.OutputsLength())]
    return [(name, shapes[name]) for name in inputs], [(name, shapes[name]) for name in outputs]


def _ports(raw: Any, what: str, tensors: list[tuple[str, tuple[int, ...]]]) -> tuple[Port, ...]:
    """Vela keeps the order of the TOSA file, and what a tensor holds, but splits and joins its axes as it likes."""
    shapes: NDArray[np.int64] = raw[f"{what}_shape"]
    ports = []
    for i, (name, shape) in enumerate(tensors):
        port = Port(name, shape, int(raw[f"{what}_region"][i]), int(raw[f"{what}_offset"][i]))
        if len(shapes) != len(tensors) or port.size != shapes[i].prod() * raw[f"{what}_elem_size"][i]:
            raise ValueError(f"Vela's {what} {i} is {shapes[i].tolist()}, not {name} {list(shape)}")
        ports.append(port)
    return tuple(ports)


def _summary(folder: Path, name: str) -> dict[str, str]:
    (file,) = folder.glob(f"{name}_summary_*.csv")
    with file.open(newline="") as text:
        (row,) = csv.DictReader(text)
    return row


def _figures(summary: dict[str, str], layers: Path) -> Figures:
    used = {memory: round(float(summary[f"{memory}_memory_used"]) * KIB) for memory in MEMORIES}
    return Figures(
        cycles=int(float(summary["cycles_total"])),
        npu_cycles=int(float(summary["cycles_npu"])),
        access_cycles={memory: int(float(summary[f"cycles_{memory}_access"])) for memory in MEMORIES},
        clock=float(summary["core_clock"]),
        macs=int(float(summary["nn_macs"])),
        sram=used["sram"],
        dram=used["dram"],
        flash=used["on_chip_flash"] + used["off_chip_flash"],
        weight_bandwidth=GIB * float(summary[f"{_identifier(summary['weights_storage_area'])}_bandwidth"]),
        layers=_layers(layers),
    )


def _identifier(memory: str) -> str:
    """What the summary's columns call a memory that a cell calls "Off-chip Flash"."""
    return memory.lower().replace("-", "_").replace(" ", "_")


def _layers(file: Path) -> tuple[LayerFigures, ...]:
    """Vela joins the cells with commas and quotes nothing; the name comes last."""
    header, *lines = file.read_text().splitlines()
    columns = header.split(",")
    rows = (dict(zip(columns, line.split(",", len(columns) - 1), strict=True)) for line in lines)
    return tuple(
        LayerFigures(row["Name"], row["NNG Operator"], int(row["Op Cycles"]), int(row["MAC Count"])) for row in rows
    )
