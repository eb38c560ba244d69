"""``qgait compile``: from the integer ONNX file to a bundle for one processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qgait.commands.compile_npu import checked, compile_npu, show
from qgait.commands.npu_options import NpuOptions, npu_options
from qgait.commands.output import console, notes, progress, table, write_json
from qgait.errors import QgaitError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qgait.export.graph import Graph
    from qgait.runtime.bundle import Bundle

SELFTEST_FRAMES = (6, 3)  # the least, of two clips of different length
CANDIDATES = 8  # sequences of --data that are looked at


@click.command("compile")
@click.argument("onnx", metavar="MODEL.onnx", type=click.Path(path_type=Path))
@click.option("--target", required=True, help="A processor of `qgait targets`.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The bundle, a folder.")
@click.option("--data", type=click.Path(path_type=Path), help="Silhouettes for the self-test; else synthetic walkers.")
@click.option("--trace", is_flag=True, help="Also build debug/gait-trace, which writes down every kernel's result.")
@click.option("--prefix", default="gait", show_default=True, help="Of files and C names: several fit into one program.")
@npu_options
@click.option("--flash", metavar="BYTES", help="Cortex-M: the most that code and weights may take, as 4M.")
@click.option("--ram", metavar="BYTES", help="Cortex-M: the most that the arena may take, as 512k.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the table as JSON.")
def compile_(
    onnx: Path,
    target: str,
    out: Path,
    data: Path | None,
    trace: bool,
    prefix: str,
    npu: NpuOptions,
    flash: str | None,
    ram: str | None,
    json_file: Path | None,
) -> None:
    """Compile MODEL.onnx for a processor and run the bundle's self-test where this machine can."""
    from qgait.compiler.bundle import check_replaceable, write
    from qgait.export.onnx.reader import read
    from qgait.runtime.bundle_names import names_for
    from qgait.targets.accelerators import find_npu
    from qgait.targets.parts import share, with_memory
    from qgait.targets.processors import find

    names_for(prefix)
    accelerator = find_npu(target)
    if accelerator is not None:
        if flash is not None or ram is not None:
            raise QgaitError("--flash and --ram are for a Cortex-M alone.", "leave them out, or use --sram.")
        vela, core = checked(accelerator, npu, trace)
        check_replaceable(out)
        graph = read(onnx)
        with progress() as report:
            clips = _selftest_clips(graph, data, report)
            made = compile_npu(graph, accelerator, vela, core, npu, out, clips, report, prefix)
        write_json(json_file, show(*made, out))
        return
    processor = with_memory(find(target), flash, ram)
    npu.refuse(processor.name)
    check_replaceable(out)
    graph = read(onnx)
    with progress() as report:
        clips = _selftest_clips(graph, data, report)
        bundle = write(graph, processor, out, clips, trace, report, prefix)
    for line in bundle.manifest["notes"]:
        console.print(line, style="dim", markup=False)
    said, stack = _selftest(bundle)
    facts = {
        "target": processor.name,
        "model": graph.model,
        "bits": graph.bits,
        "kernels": len(bundle.manifest["kernels"]),
        "library_bytes": bundle.library_bytes,
        "executable_bytes": bundle.size(bundle.gait_run.name),
        "arena_bytes": bundle.manifest["memory"]["arena_bytes"],
        "state_bytes": bundle.manifest["memory"]["state_bytes"],
        "macs_per_frame": bundle.manifest["macs"]["frame"],
        "macs_per_embedding": bundle.manifest["macs"]["embedding"],
        "selftest": said,
    }
    if processor.board is not None:
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
        (bundle.gait_run.name, f"{facts['executable_bytes'] / 1000:,.0f} kB"),
        ("arena", share(facts["arena_bytes"], processor.ram_bytes)),
        *([("flash and RAM of", processor.part)] if processor.part else []),
        *([("stack in the self-test", f"{stack:,} bytes")] if stack is not None else []),
        ("kept from frame to frame", f"{facts['state_bytes'] / 1000:,.0f} kB"),
        ("multiply-accumulates a frame", f"{facts['macs_per_frame']:,}"),
        ("self-test", facts["selftest"]),
    ]
    table(f"{graph.model} {graph.bits}: {out}", ("compiled for", processor.name), rows)
    write_json(json_file, facts)


def _selftest(bundle: Bundle) -> tuple[str, int | None]:
    """What the table says of it, and the bytes of stack that it took where it counts them.

    The reason is printed when it cannot run here, ParityError is raised if it fails.
    """
    from qgait.runtime.programs import start
    from qgait.runtime.selftest import selftest

    try:
        start(bundle)
    except QgaitError as error:
        notes.print(f"The self-test was not run: {error.problem} Fix: {error.fix}", style="bold yellow", markup=False)
        return "not run", None
    passed = selftest(bundle)
    return "passed under QEMU" if passed.emulated else "passed", passed.stack_bytes


def selftest_lengths(graph: Graph) -> tuple[int, int]:
    """Frames of the two clips: everything runs at least twice in the first; the second is repeated where any can be."""
    from qgait.export.schedule import schedule

    times = schedule(graph)
    longer, shorter = SELFTEST_FRAMES
    return max(longer, times.delay + 2 * times.stride), shorter if graph.min_frames == 1 else graph.min_frames - 1


def _selftest_clips(
    graph: Graph, data: Path | None, report: Callable[[str, int, int], None]
) -> list[NDArray[np.uint8]]:
    """Two short walks of different length: of ``data``, or of qgait's own walkers."""
    height, width, _ = graph.tensors[graph.input].shape
    lengths = selftest_lengths(graph)
    if data is not None:
        from qgait.data.opengait import Dataset
        from qgait.data.selection import load_clips, spread

        loaded = load_clips(spread(Dataset.open(data).sequences, CANDIDATES), report, lengths[0])
        clips = [clip for clip in loaded if len(clip) == lengths[0]][: len(lengths)]
        if len(clips) < len(lengths):
            raise QgaitError(
                f"{data} has too few silhouettes for a self-test, which takes two sequences of {lengths[0]}.",
                "name a larger folder, or leave --data out.",
            )
    else:
        from qgait.data.walkers.dataset import sequence

        walks = (("nm-01", 90), ("cl-01", 54))
        clips = []
        for i, ((condition, view), frames) in enumerate(zip(walks, lengths, strict=True)):
            walk = sequence(0, i + 1, condition, view, frames)
            margin = (walk.shape[2] - width) // 2
            clips.append(walk[:, :, margin : margin + width])
            report("self-test walkers", i + 1, len(lengths))
    clips = [clip[:frames] for clip, frames in zip(clips, lengths, strict=True)]
    if any(clip.shape[1:] != (height, width) for clip in clips):
        raise QgaitError(
            f"This model takes frames of {height} x {width} pixels, not 64 x 44.", "give --data of that size."
        )
    return clips
