"""``qgait report``: one page on a model of one's own, with every figure measured while it is written."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

import click

from qgait.commands.numbers import Whole
from qgait.commands.output import console, progress, table, write_json
from qgait.commands.paths import InputPath, NameOrFile, OutputFile, json_option


@click.command()
@click.argument("onnx", type=InputPath())
@click.option("--model", required=True, type=InputPath(), help="The model that was exported.")
@click.option("--checkpoint", type=InputPath(), help="The float network that the model was made from, to compare with.")
@click.option("--data", required=True, type=InputPath(), help="Silhouettes in OpenGait's layout.")
@click.option(
    "--bundle",
    "bundles",
    multiple=True,
    type=InputPath(),
    help="A folder that `qgait compile` wrote, to be compared and measured too; repeatable.",
)
@click.option("--out", required=True, type=OutputFile(".html"), help="The page, one HTML file.")
@click.option("--protocol", default="casia-b", show_default=True, help="casia-b, oumvlp, grew or gait3d.")
@click.option("--partition", type=NameOrFile(), help="Partition file or name; its test people are recognised.")
@click.option(
    "--sequences", type=Whole(), default=50, show_default=True, help="Sequences on which every code is compared."
)
@click.option(
    "--frames", type=Whole(), help="Only the first frames of a sequence. Default: codes of 12, people by all."
)
@json_option
def report(
    onnx: Path,
    model: Path,
    checkpoint: Path | None,
    data: Path,
    bundles: tuple[Path, ...],
    out: Path,
    protocol: str,
    partition: str | None,
    sequences: int,
    frames: int | None,
    json_file: Path | None,
) -> None:
    """Compare, evaluate and measure ONNX and its bundles, and write one page about all of it.

    What cannot be run here or told from the data is said on the page. Exit code 1 if a single integer differs.
    """
    from qgait.data.opengait import Dataset
    from qgait.report import render
    from qgait.report.report import measure, require

    start = time.perf_counter()
    with progress() as moved:
        dataset = Dataset.open(data, partition)
        facts = measure(onnx, model, checkpoint, dataset, bundles, protocol, sequences, frames, moved)
    seconds = time.perf_counter() - start
    typed = ["qgait", "report", str(onnx), "--model", str(model)]
    typed += [] if checkpoint is None else ["--checkpoint", str(checkpoint)]
    typed += ["--data", str(data)]
    typed += [word for bundle in bundles for word in ("--bundle", str(bundle))] + ["--out", str(out)]
    facts["commands"] = [{"command": shlex.join(typed), "seconds": seconds}]
    render.render(facts, out)
    write_json(json_file, facts)
    show(facts)
    console.print(f"Report: {out}", soft_wrap=True)
    require(facts, str(out))


def show(facts: dict[str, Any]) -> None:
    """The table that closes; the same figures as on the page."""
    from qgait.report.render import count, heading, percent, size, speed

    conditions = facts["recognition"]["conditions"]
    columns = ("level", *conditions, "EER", "≠", "a frame", "size")
    rows = []
    for row in facts["table"]:
        accuracy = [percent((row["rank1"] or {}).get(condition)) for condition in conditions]
        measured = (percent(row["eer"]), count(row["differing"]), speed(row), size(row["bytes"]))
        rows.append((f"{row['level']} · {row['runtime']}", *accuracy, *measured))
    verdict = facts["verdict"]
    console.print()
    table(
        f"{facts['network']['model']} {facts['network']['bits']}: rank-1 and EER in % of "
        f"{facts['recognition']['people']} people, codes that differ (≠) of {verdict['codes']:,} of "
        f"{verdict['sequences']} walks",
        columns,
        rows,
    )
    for note in (*facts["recognition"]["notes"], *facts["recognition"]["missing"]):
        console.print(note, soft_wrap=True)
    for sentence in verdict["unchecked"]:
        console.print(f"Not checked: {sentence}", soft_wrap=True)
    if verdict["holds"]:
        console.print(heading(verdict), style="bold green")
