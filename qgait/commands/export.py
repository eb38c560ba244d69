"""``qgait export``: the integer-only ONNX graph of a quantized model."""

from __future__ import annotations

from pathlib import Path

import click

import qgait
from qgait.commands.output import console, table, write_json
from qgait.commands.paths import InputPath, OutputFile, json_option


@click.command()
@click.argument("model", type=InputPath())
@click.option("--out", required=True, type=OutputFile(), help="The ONNX file.")
@json_option
def export(model: Path, out: Path, json_file: Path | None) -> None:
    """Fold every scale of MODEL into an integer-only ONNX graph."""
    from qgait.quantizers import model_file

    made = qgait.write_onnx(qgait.fold(model_file.load(model)), out)
    rows = [
        ("operators", f"{made.operators}, all integer"),
        ("weights", f"{made.parameters:,}"),
        ("file", f"{made.file_bytes:,} bytes"),
        ("MACs a frame", f"{made.macs_per_frame:,}"),
        ("MACs an embedding", f"{made.macs_per_embedding:,}"),
        ("embedding", f"int8 {list(made.embedding)}"),
    ]
    table(f"{made.model} {made.bits}: {out}", ("", "value"), rows)
    console.print(made.simplified)
    write_json(json_file, made.to_dict())
