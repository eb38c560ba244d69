"""``qgait targets``: what ``qgait compile --target`` takes."""

from __future__ import annotations

from pathlib import Path

import click

from qgait.commands.output import console, table, write_json
from qgait.commands.paths import json_option


@click.command()
@json_option
def targets(json_file: Path | None) -> None:
    """List the processors and NPUs that qgait compiles for."""
    from qgait.targets.accelerators import NPU_TARGETS
    from qgait.targets.processors import all_targets

    rows = [(t.name, t.description, t.isa) for t in all_targets()]
    table("Targets", ("name", "processor", "convolution kernels"), rows)
    npus = [(t.name, t.macs, f"{t.clock / 1e6:.0f} MHz", t.host) for t in NPU_TARGETS]
    table("Ethos-U targets", ("name", "MACs a cycle", "clock", "core beside it"), npus)
    for family in dict.fromkeys(t.family for t in NPU_TARGETS):
        like = next(t for t in NPU_TARGETS if t.family == family)
        taken = f"--system-config {like.system_config} --memory-mode {like.memory_mode}"
        console.print(f"ethos-{family} without other choices: {taken}", style="dim", soft_wrap=True)
    processors = [dict(zip(("name", "processor", "isa"), row, strict=True)) for row in rows]
    beside = [{"name": t.name, "macs": t.macs, "clock_hz": t.clock, "host": t.host} for t in NPU_TARGETS]
    write_json(json_file, {"processors": processors, "npus": beside})
