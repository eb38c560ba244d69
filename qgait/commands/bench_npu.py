"""``qgait bench`` on the bundle of an NPU target where nothing can measure it: Vela's estimate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qgait.commands.compile_npu import streams_table
from qgait.commands.output import notes, table
from qgait.errors import QgaitError

if TYPE_CHECKING:
    from qgait.runtime.bundle import Bundle

COUNTERS = "link libgait.a into firmware with npu_ethosu.c and -DGAIT_NPU_CYCLES: gait_npu_cycles() tells real cycles."
CLOCKS = "--device ssh://user@host: its gait-run drives the NPU through Linux 6.19 or later."


def show_estimate(bundle: Bundle, device: str, options: Sequence[str]) -> dict[str, Any]:
    """Prints the estimate; answers it for ``--json``.

    QgaitError for a ``device`` on which the bundle would have to run, and for ``options`` of a run.
    """
    from qgait.runtime.ethosu.estimate import estimate
    from qgait.targets.memory import kib

    assert bundle.npu is not None
    found = estimate(bundle.npu)
    measure = COUNTERS if bundle.target.bare_metal else CLOCKS
    if device != "local" or options:
        asked = f"--device {device}" if device != "local" else options[0]
        raise QgaitError(
            f"{asked} is for programs that run, and a bundle for {found.accelerator} is linked into others.",
            f"leave it out for Vela's estimate, or {measure}",
        )
    memory, macs = bundle.manifest["memory"], bundle.manifest["macs"]["frame"]
    fast = max(segment["fast_bytes"] for segment in bundle.npu["segments"])
    on_npu = found.embedding_cycles > 0
    streams_table(found, f"{bundle.model} on {found.accelerator}")
    rows = [
        ("a frame, estimate", f"{found.frame_milliseconds:.3f} ms"),
        ("an embedding, estimate", f"{found.embedding_milliseconds:.3f} ms" if on_npu else "on the host alone"),
        ("multiply-accumulates a frame", f"{macs:,}"),
        ("arena, with the NPU's working memory", kib(memory["arena_bytes"])),
        ("SRAM of the NPU alone", kib(fast)),
        ("kept from frame to frame", kib(memory["state_bytes"])),
        ("code and weights", kib(bundle.library_bytes)),
    ]
    table(f"{bundle.model}: an estimate, not a measurement", ("compiled for", found.accelerator), rows)
    notes.print(f"The part of the {bundle.target.name} is not in these times. To measure, {measure}")
    return {
        "target": found.accelerator,
        "device": "estimate",
        "frame_ms": {"median": found.frame_milliseconds, "p95": None},
        "embedding_ms": found.embedding_milliseconds if on_npu else None,
        "instructions_per_frame": None,
        "peak_memory_bytes": memory["arena_bytes"] + fast,
        "model_bytes": bundle.library_bytes,
        "macs_per_frame": macs,
        **found.to_dict(),
    }
