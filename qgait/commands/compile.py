"""``qgait compile``: from the integer ONNX file to a bundle for one processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

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
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the table as JSON.")
def compile_(onnx: Path, target: str, out: Path, data: Path | None, trace: bool, json_file: Path | None) -> None:
    """Compile MODEL.onnx for a processor and run the bundle's self-test where this machine can."""
    from qgait.export.onnx_reader import read
    from qgait.runtime.bundle import Bundle
    from qgait.runtime.bundle_writer import check_replaceable
    from qgait.runtime.targets import find

    processor = find(target)
    check_replaceable(out)
    graph = read(onnx)
    with progress() as report:
        clips = _selftest_clips(graph, data, report)
        bundle = Bundle.write(graph, processor, out, clips, trace, report)
    for line in bundle.manifest["notes"]:
        console.print(line, style="dim", markup=False)
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
        "selftest": _selftest(bundle),
    }
    rows = [
        ("processor", processor.description),
        ("kernels", facts["kernels"]),
        ("code and weights", f"{facts['library_bytes'] / 1000:,.0f} kB"),
        (bundle.gait_run.name, f"{facts['executable_bytes'] / 1000:,.0f} kB"),
        ("arena", f"{facts['arena_bytes'] / 1000:,.0f} kB"),
        ("kept from frame to frame", f"{facts['state_bytes'] / 1000:,.0f} kB"),
        ("multiply-accumulates a frame", f"{facts['macs_per_frame']:,}"),
        ("self-test", facts["selftest"]),
    ]
    table(f"{graph.model} {graph.bits}: {out}", ("compiled for", processor.name), rows)
    write_json(json_file, facts)


def _selftest(bundle: Bundle) -> str:
    """What the table says of it; the reason is printed when it cannot run here, ParityError is raised if it fails."""
    from qgait.runtime.compiled import selftest, start

    try:
        emulator = start(bundle)
    except QgaitError as error:
        notes.print(f"The self-test was not run: {error.problem} Fix: {error.fix}", style="bold yellow", markup=False)
        return "not run"
    selftest(bundle)
    return "passed under QEMU" if emulator else "passed"


def selftest_lengths(graph: Graph) -> tuple[int, int]:
    """Frames of the two clips: everything runs at least twice in the first; the second is repeated where any can be."""
    from qgait.runtime.schedule import schedule

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
