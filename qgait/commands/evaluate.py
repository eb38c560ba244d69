"""``qgait eval``: recognition accuracy by a data set's protocol, at any level and runtime of a model."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from qgait.commands.numbers import Whole
from qgait.commands.output import console, progress, table, write_json
from qgait.commands.paths import InputPath, NameOrFile, json_option


@click.command("eval")
@click.argument("model", type=InputPath())
@click.option("--data", required=True, type=InputPath(), help="Silhouettes in OpenGait's layout.")
@click.option("--protocol", default="casia-b", show_default=True, help="casia-b, oumvlp, grew or gait3d.")
@click.option("--level", default="int", show_default=True, help="float, fake or int.")
@click.option(
    "--runtime", help="What computes the int level: ort, reference, tosa, npu or a target.  [host, or ort without TVM]"
)
@click.option("--partition", type=NameOrFile(), help="Partition file or name; evaluates its test people.")
@click.option("--frames", type=Whole(), help="Only the first frames of every sequence.")
@click.option("--binary", is_flag=True, help="Threshold silhouettes at 128, as training does with data.binary.")
@json_option
def eval_(
    model: Path,
    data: Path,
    protocol: str,
    level: str,
    runtime: str | None,
    partition: str | None,
    frames: int | None,
    binary: bool,
    json_file: Path | None,
) -> None:
    """Rank-1 of MODEL: a float checkpoint, a quantized model, an ONNX file or a bundle."""
    from qgait.data.opengait import Dataset
    from qgait.evaluation.protocols import check_protocol, evaluate
    from qgait.verification.embedders import embed_sequences, open_embedder

    check_protocol(protocol)
    dataset = Dataset.open(data, partition)
    sequences = dataset.test
    with ExitStack() as stack, progress() as report:
        embedder = open_embedder(model, level, runtime, stack, len(sequences))
        (embeddings,) = embed_sequences([embedder], sequences, frames, binary, report)
    result = evaluate(protocol, embeddings, sequences, probe_set=dataset.probes)
    facts: dict[str, Any] = {"protocol": protocol, "level": embedder.level, "runtime": embedder.runtime}
    facts |= {"model": embedder.model, "sequences": len(sequences), "binary": binary} | result
    people = len({sequence.subject for sequence in sequences})
    show(
        f"{embedder.model}, {embedder.level} by {embedder.runtime}: {len(sequences)} sequences of {people} people",
        result,
    )
    write_json(json_file, facts)


def show(title: str, result: dict[str, Any]) -> None:
    """Prints every figure in percent of a protocol's result."""
    rows = []
    for measure, value in result.items():
        if isinstance(value, dict) and all(isinstance(number, (int, float)) for number in value.values()):
            rows += [(f"{measure} {group}", f"{number:.2f}") for group, number in value.items()]
        elif isinstance(value, float):
            rows.append((measure, f"{value:.2f}"))
    table(title, ("measure", "%"), rows)
    for note in result.get("notes", ()):
        console.print(note)
