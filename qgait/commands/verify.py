"""``qgait verify``: every runtime of an ONNX file against the model it was exported from, code by code."""

from __future__ import annotations

from pathlib import Path

import click

from qgait.commands.output import console, notes, progress, table, write_json
from qgait.errors import ParityError
from qgait.verification.parity import FakeResult, Parity, RuntimeResult, compare, compare_fake, expected_codes

DEFAULT_RUNTIMES = ("reference", "ort", "host", "arm")


@click.command()
@click.argument("onnx", type=click.Path(path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path), help="The model that was exported.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Silhouettes in OpenGait's layout.")
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    help=f"reference, ort, tosa, npu, or any of `qgait targets`; repeatable. Default: {' '.join(DEFAULT_RUNTIMES)}.",
)
@click.option("--sequences", default=50, show_default=True, help="Sequences, drawn over people, conditions, views.")
@click.option("--frames", type=int, help="Only the first frames of every sequence; emulated ARM code is slow.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the table as JSON.")
def verify(
    onnx: Path,
    model: Path,
    data: Path,
    runtimes: tuple[str, ...],
    sequences: int,
    frames: int | None,
    json_file: Path | None,
) -> None:
    """Prove that every runtime of ONNX gives the integers of simulated quantization. Exit code 1 if one differs."""
    from qgait.data.opengait import Dataset
    from qgait.data.selection import load_clips, spread
    from qgait.export.onnx.reader import read
    from qgait.quantizers import model_file
    from qgait.verification.by_name import check_names, open_runtimes

    names = runtimes or DEFAULT_RUNTIMES
    check_names(names)
    graph = read(onnx)
    network = model_file.load(model)
    with progress() as report:
        clips = load_clips(spread(Dataset.open(data).sequences, sequences), report, frames)
        expected = expected_codes(graph, clips, report)
        fake = compare_fake(network, graph, clips, expected, report)
        results: dict[str, RuntimeResult] = {}
        with open_runtimes(names, onnx, graph, report) as opened:
            for runtime in opened:
                results[runtime.label] = compare(runtime, graph, clips, expected)
    parity = Parity(len(clips), sum(code.size for code in expected), fake, merged(results))
    rows = [
        _fake_row("fake, float32", fake.mismatches, fake, parity.codes),
        _fake_row("fake, float64", fake.mismatches_float64, fake, parity.codes),
    ]
    rows += [
        (label, r.mismatches, r.max_difference, f"{r.mismatches / parity.codes:.4%}", r.first_layer or "-")
        for label, r in results.items()
    ]
    table(
        f"{graph.model} {graph.bits}: {parity.sequences} sequences, {parity.codes:,} codes, against the reference",
        ("runtime", "differing codes", "largest difference", "share", "first layer that differs"),
        rows,
    )
    write_json(json_file, parity.to_dict())
    if fake.mismatches > parity.codes / 1000:
        notes.print(f"Simulation in float32 differs in {fake.mismatches} codes, more than 1 in 1,000.")
    if not parity.holds:
        bad = [label for label, r in results.items() if r.mismatches]
        bad += ["fake in float64"] if fake.mismatches_float64 else []
        raise ParityError(f"Not equal: {', '.join(bad)}.")
    console.print("Every runtime gives the integers of the simulated-quantization model: 0 differing codes.")


def merged(results: dict[str, RuntimeResult]) -> dict[str, RuntimeResult]:
    """One entry a runtime: of the four ONNX Runtime levels, the worst."""
    worst: dict[str, RuntimeResult] = {}
    for label, result in results.items():
        name = label.split(" ")[0]
        if name not in worst or result.mismatches > worst[name].mismatches:
            worst[name] = result
    return worst


def _fake_row(label: str, mismatches: int, fake: FakeResult, codes: int) -> tuple[object, ...]:
    first = fake.first_layer if mismatches and label.endswith("64") else None
    return (label, mismatches, fake.max_difference if mismatches else 0, f"{mismatches / codes:.4%}", first or "-")
