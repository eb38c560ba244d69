"""``qgait bench``: what a bundle costs on this machine, under QEMU or on a board."""

from __future__ import annotations

from pathlib import Path

import click

from qgait.commands.bench_npu import show_estimate
from qgait.commands.numbers import Whole
from qgait.commands.output import notes, table, write_json
from qgait.commands.paths import InputPath, json_option


@click.command()
@click.argument("bundle", type=InputPath())
@click.option(
    "--device", default="local", show_default=True, help="local, qemu (counts instructions), ssh://user@host."
)
@click.option("--frames", type=Whole(most=100_000), help="Frames of a run. Default: 30.")
@click.option("--runs", type=Whole(most=100_000), help="Runs. Default: 5.")
@json_option
def bench(bundle: Path, device: str, frames: int | None, runs: int | None, json_file: Path | None) -> None:
    """Measure BUNDLE: time, instructions, memory. Its self-test runs first; if that fails nothing is measured.

    Of a bundle for an Ethos-U, Vela's estimate is printed, and called so; a board under Linux measures (ssh://).
    """
    from qgait.runtime.benchmark import bench as measure
    from qgait.runtime.bundle import Bundle
    from qgait.targets.memory import kib

    chosen = (("--frames", frames), ("--runs", runs))
    options = [word for name, value in chosen if value is not None for word in (name, str(value))]
    opened = Bundle.open(bundle)
    linux_board = device.startswith("ssh://") and not opened.target.bare_metal
    if opened.npu is not None and not linux_board:
        write_json(json_file, show_estimate(opened, device, options))
        return
    found = measure(opened, device, options)
    facts = found.to_dict()
    macs = found.macs_per_frame
    rows: list[tuple[str, str]] = []
    if found.frame_median is not None and found.frame_p95 is not None and found.embedding_ms is not None:
        rows += [
            ("a frame, median", f"{found.frame_median:.3f} ms"),
            ("a frame, 95 % below", f"{found.frame_p95:.3f} ms"),
            ("an embedding, median", f"{found.embedding_ms:.3f} ms"),
            ("speed", f"{macs / found.frame_median / 1e6:.1f} GMAC/s"),
        ]
    if found.instructions_per_frame is not None:
        rows += [
            ("executed instructions a frame", f"{found.instructions_per_frame:,}"),
            ("efficiency", f"{macs / found.instructions_per_frame:.2f} MAC an instruction"),
        ]
    rows += [
        ("multiply-accumulates a frame", f"{macs:,}"),
        ("peak memory", kib(found.peak_memory_bytes)),
        ("kept from frame to frame", kib(opened.manifest["memory"]["state_bytes"])),
        ("code and weights", kib(found.model_bytes)),
    ]
    table(f"{opened.model} on {device}", ("compiled for", found.target), rows)
    if device == "qemu":
        notes.print("An emulator's times mean nothing; only instructions are counted.")
    write_json(json_file, facts)
