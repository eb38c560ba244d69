"""``qgait verify``: every runtime of an ONNX file against the model it was exported from, code by code."""

from __future__ import annotations

from pathlib import Path

import click

from qgait.commands.numbers import Whole
from qgait.commands.output import console, notes, progress, table, write_json
from qgait.commands.paths import InputPath, json_option
from qgait.errors import ParityError
from qgait.verification.parity import FakeResult
from qgait.verification.verify import DEFAULT_RUNTIMES, FRAMES


@click.command()
@click.argument("onnx", type=InputPath())
@click.option("--model", required=True, type=InputPath(), help="The model that was exported.")
@click.option("--data", required=True, type=InputPath(), help="Silhouettes in OpenGait's layout.")
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    help=f"reference, ort, tosa, npu, or any of `qgait targets`; repeatable. Default: {' '.join(DEFAULT_RUNTIMES)}.",
)
@click.option(
    "--sequences", type=Whole(), default=50, show_default=True, help="Sequences, drawn over people, conditions, views."
)
@click.option(
    "--frames",
    type=Whole(least=0),
    default=FRAMES,
    show_default=True,
    help="The first frames of every sequence; 0 takes all of them.",
)
@json_option
def verify(
    onnx: Path,
    model: Path,
    data: Path,
    runtimes: tuple[str, ...],
    sequences: int,
    frames: int,
    json_file: Path | None,
) -> None:
    """Prove that every runtime of ONNX gives the integers of simulated quantization. Exit code 1 if one differs."""
    from qgait.data.opengait import Dataset
    from qgait.data.selection import load_clips, spread
    from qgait.export.onnx.reader import read
    from qgait.quantizers import model_file
    from qgait.verification import cost
    from qgait.verification.by_name import check_names
    from qgait.verification.parity import check_model
    from qgait.verification.verify import verify as prove

    names = runtimes or DEFAULT_RUNTIMES
    check_names(names)
    graph = read(onnx)
    network = model_file.load(model)
    check_model(network, graph)
    with progress() as report:
        clips = load_clips(spread(Dataset.open(data).sequences, sequences), report, frames or None)
        notes.print(
            f"{len(clips)} sequences of {f'at most {frames}' if frames else 'all'} frames, on {', '.join(names)}: "
            f"this takes {cost.in_words(cost.seconds(graph, clips, names))}. Fewer: --frames, --sequences.",
            soft_wrap=True,
        )
        parity = prove(graph, network, clips, names, onnx, report)
    fake = parity.fake
    assert fake is not None
    rows = [
        _fake_row("fake, float32", fake.mismatches, fake, parity.codes),
        _fake_row("fake, float64", fake.mismatches_float64, fake, parity.codes),
    ]
    rows += [
        (label, r.mismatches, r.max_difference, f"{r.mismatches / parity.codes:.4%}", r.first_layer or "-")
        for label, r in parity.runtimes.items()
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
        bad = [label for label, r in parity.runtimes.items() if r.mismatches]
        bad += ["fake in float64"] if fake.mismatches_float64 else []
        raise ParityError(f"Not equal: {', '.join(bad)}.")
    console.print("Every runtime gives the integers of the simulated-quantization model: 0 differing codes.")


def _fake_row(label: str, mismatches: int, fake: FakeResult, codes: int) -> tuple[object, ...]:
    first = fake.first_layer if mismatches and label.endswith("64") else None
    return (label, mismatches, fake.max_difference if mismatches else 0, f"{mismatches / codes:.4%}", first or "-")
