"""``qgait compile``: from the integer ONNX file to a bundle for one processor or NPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qgait.commands.compile_npu import show_npu
from qgait.commands.npu_options import npu_options
from qgait.commands.output import console, notes, progress, table, write_json
from qgait.commands.paths import InputPath, OutputFolder, json_option
from qgait.errors import QgaitError

if TYPE_CHECKING:
    from qgait.verification.proven_bundle import ForProcessor


@click.command("compile")
@click.argument("onnx", metavar="MODEL.onnx", type=InputPath())
@click.option("--target", required=True, help="A processor of `qgait targets`.")
@click.option("--out", required=True, type=OutputFolder(replaced=True), help="The bundle, a folder.")
@click.option("--data", type=InputPath(), help="Silhouettes for the self-test; else synthetic walkers.")
@click.option("--trace", is_flag=True, help="Also build debug/gait-trace, which writes down every kernel's result.")
@click.option("--prefix", default="gait", show_default=True, help="Of files and C names: several fit into one program.")
@npu_options
@click.option("--flash", metavar="BYTES", help="Cortex-M: the most that code and weights may take, as 4M.")
@click.option("--ram", metavar="BYTES", help="Cortex-M: the most that the arena may take, as 512k.")
@json_option
def compile_(
    onnx: Path,
    target: str,
    out: Path,
    data: Path | None,
    no_host_fallback: bool,
    json_file: Path | None,
    **options: Any,
) -> None:
    """Compile MODEL.onnx for a processor and run the bundle's self-test where this machine can."""
    from qgait.compiler.options import CompileOptions
    from qgait.export.onnx.reader import read
    from qgait.verification.proven_bundle import ForProcessor, compile_proven

    asked = CompileOptions(host_fallback=not no_host_fallback, **options)
    asked.check(target, out)
    graph = read(onnx)
    with progress() as report:
        made = compile_proven(graph, target, out, data, asked, report)
    write_json(json_file, show(made, out) if isinstance(made, ForProcessor) else show_npu(made, out))


def show(made: ForProcessor, out: Path) -> dict[str, Any]:
    """Prints the table; answers the same facts for ``--json``."""
    from qgait.targets.memory import kib, share

    bundle, processor = made.bundle, made.bundle.target
    said, stack = "not run", None
    if isinstance(made.selftest, QgaitError):
        why = made.selftest
        notes.print(f"The self-test was not run: {why.problem} Fix: {why.fix}", style="bold yellow")
    else:
        said, stack = str(made.selftest), made.selftest.stack_bytes
    for line in bundle.manifest["notes"]:
        console.print(line, style="dim")
    facts = {
        "target": processor.name,
        "model": bundle.model,
        "bits": bundle.manifest["bits"],
        "kernels": len(bundle.manifest["kernels"]),
        "library_bytes": bundle.library_bytes,
        "executable_bytes": bundle.size(bundle.gait_run.name),
        "arena_bytes": bundle.manifest["memory"]["arena_bytes"],
        "state_bytes": bundle.manifest["memory"]["state_bytes"],
        "macs_per_frame": bundle.manifest["macs"]["frame"],
        "macs_per_embedding": bundle.manifest["macs"]["embedding"],
        "selftest": said,
    }
    if processor.bare_metal:
        facts |= {
            "part": processor.part,
            "flash_bytes": processor.flash_bytes,
            "ram_bytes": processor.ram_bytes,
            "stack_bytes": stack,
        }
    rows = [
        ("processor", processor.description),
        ("kernels", facts["kernels"]),
        ("code and weights", share(facts["library_bytes"], processor.flash_bytes)),
        (bundle.gait_run.name, kib(bundle.size(bundle.gait_run.name))),
        ("arena", share(facts["arena_bytes"], processor.ram_bytes)),
        *([("flash and RAM of", processor.part)] if processor.part else []),
        *([("stack in the self-test", f"{stack:,} bytes")] if stack is not None else []),
        ("kept from frame to frame", kib(bundle.manifest["memory"]["state_bytes"])),
        ("multiply-accumulates a frame", f"{facts['macs_per_frame']:,}"),
        ("self-test", facts["selftest"]),
    ]
    table(f"{bundle.model} {bundle.manifest['bits']}: {out}", ("compiled for", processor.name), rows)
    return facts
