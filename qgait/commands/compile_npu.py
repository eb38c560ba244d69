"""``qgait compile --target ethos-...``: command streams for the NPU, a library for its host, and what was decided."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qgait.commands.output import console, notes, table
from qgait.commands.settings import as_options

if TYPE_CHECKING:
    from qgait.runtime.ethosu.estimate import Estimate, StreamEstimate
    from qgait.verification.proven_bundle import ForNpu


def show_npu(made: ForNpu, out: Path) -> dict[str, Any]:
    """Prints the tables; answers the same facts for ``--json``."""
    from qgait.runtime.ethosu.estimate import estimate
    from qgait.targets.memory import kib

    plan, bundle, proof = made.plan, made.bundle, made.proof
    graph, npu, memory = plan.graph, bundle.npu, bundle.manifest["memory"]
    assert npu is not None
    found = estimate(npu)
    on_npu = [op for segment in plan.partition.segments for op in segment.ops]
    share = sum(op.macs(graph.tensors) for op in on_npu) / max(sum(op.macs(graph.tensors) for op in graph.ops), 1)
    packed = sum(op.weight_bytes for op in on_npu)
    compressed = sum(len(compiled.weights) for compiled in plan.compiled.values())
    streams_table(found, f"{graph.model} {graph.bits} on {found.accelerator}")
    for line in _choices(npu["choices"]):
        console.print(line, soft_wrap=True)
    command = click.get_current_context().command
    staying = [{**operator, "fix": as_options(operator["fix"], command)} for operator in npu["host"]]
    for line in staying_lines(staying):
        console.print(line, style="dim", soft_wrap=True)
    rows = [
        ("host", plan.host.description),
        ("operators on the NPU", f"{len(on_npu)} of {len(graph.ops)}, {share:.1%} of the MACs"),
        ("kernels on the host", sum("symbol" in kernel for kernel in bundle.manifest["kernels"])),
        ("weights on the NPU, packed", kib(packed)),
        ("the same with multipliers, compressed by Vela", kib(compressed)),
        ("code and weights of the library", kib(bundle.library_bytes)),
        ("arena, with the NPU's working memory", kib(memory["arena_bytes"])),
        ("kept from frame to frame", kib(memory["state_bytes"])),
        ("self-test", f"{proof.codes} codes equal"),
    ]
    table(f"{graph.model} {graph.bits}: {out}", ("compiled for", found.accelerator), rows)
    for sentence in proof.sentences:
        console.print(sentence, style="dim", soft_wrap=True)
    if proof.why_not is not None:
        notes.print("The library of the host did not run here.", style="bold yellow")
    return {
        "target": found.accelerator,
        "host": plan.host.name,
        "model": graph.model,
        "bits": graph.bits,
        **found.to_dict(),
        "operators": len(graph.ops),
        "operators_on_npu": len(on_npu),
        "macs_on_npu": share,
        "npu_weight_bytes": {"packed": packed, "compressed": compressed},
        "choices": npu["choices"],
        "operators_on_host": staying,
        "library_bytes": bundle.library_bytes,
        "arena_bytes": memory["arena_bytes"],
        "state_bytes": memory["state_bytes"],
        "macs_per_frame": bundle.manifest["macs"]["frame"],
        "macs_per_embedding": bundle.manifest["macs"]["embedding"],
        "selftest": {"codes": proof.codes, "streams": proof.interpreted, "library": proof.emulated},
    }


def streams_table(found: Estimate, title: str) -> None:
    """Prints Vela's estimate of every command stream, the sums, and the time of a clip."""
    from qgait.runtime.ethosu.estimate import CLIP
    from qgait.targets.memory import KIB

    used = [memory for memory in ("sram", "dram", "flash") if getattr(found, memory)]
    rows: list[tuple[object, ...]] = [
        (stream.name, _moments(stream), f"{stream.cycles:,}", f"{stream.milliseconds:.3f}", f"{stream.share:.1%}")
        for stream in found.streams
    ]
    rows.append(("all", "frame", f"{found.frame_cycles:,.0f}", f"{found.frame_milliseconds:.3f}", ""))
    sizes = [tuple(f"{getattr(of, memory) / KIB:,.0f}" for memory in used) for of in (*found.streams, found)]
    table(
        f"{title}: Vela's estimate ({found.system_config}, {found.memory_mode})",
        ("stream", "once a", "cycles", "ms", "of peak", *(f"{memory.upper()} KiB" for memory in used)),
        [(*row, *memory) for row, memory in zip(rows, sizes, strict=True)],
    )
    moments = f"{CLIP} frames and an embedding" if found.embedding_cycles else f"{CLIP} frames"
    console.print(f"{moments}: {found.clip_milliseconds:.3f} ms on the NPU.")


def _moments(stream: StreamEstimate) -> str:
    if stream.phase == "clip":
        return "embedding"
    return "frame" if stream.stride == 1 else f"{stream.stride} frames"


def _choices(choices: Iterable[dict[str, Any]]) -> list[str]:
    return [
        f"{choice['what']}: the NPU would take {choice['npu_ms']:.3f} ms, the host {choice['host_ms']:.3f} ms, "
        f"by estimates; the {'NPU' if choice['place'] == 'npu' else 'host'} does it."
        for choice in choices
    ]


def staying_lines(operators: Iterable[dict[str, str]]) -> list[str]:
    """Operators on the host, reason and fix; those with one reason in one line."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for facts in operators:
        name = f"{facts['operator']} ({facts['kind']})"
        grouped.setdefault((facts["reason"], facts["fix"]), []).append(name)
    return [f"On the host: {', '.join(names)}: {reason}. Fix: {fix}" for (reason, fix), names in grouped.items()]
