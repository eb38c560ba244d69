"""``qgait export``: the integer-only ONNX graph of a quantized model."""

from __future__ import annotations

from pathlib import Path

import click

from qgait.commands.output import console, table, write_json


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The ONNX file.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the facts as JSON.")
def export(model: Path, out: Path, json_file: Path | None) -> None:
    """Fold every scale of MODEL into an integer-only ONNX graph."""
    from qgait.export.checks import check_graph
    from qgait.export.folding import fold
    from qgait.export.onnx.simplify import simplify
    from qgait.export.onnx.writer import write
    from qgait.export.probe import probe_clips
    from qgait.quantizers import model_file

    graph = fold(model_file.load(model))
    check_graph(graph)
    write(graph, out)
    message = simplify(out, graph, probe_clips(graph))
    size = out.stat().st_size
    parameters = graph.parameters
    frame_macs, clip_macs = graph.frame_macs, graph.clip_macs
    parts, channels = graph.tensors[graph.output].shape
    rows = [
        ("operators", f"{len(graph.ops)}, all integer"),
        ("weights", f"{parameters:,}"),
        ("file", f"{size:,} bytes"),
        ("MACs a frame", f"{frame_macs:,}"),
        ("MACs an embedding", f"{clip_macs:,}"),
        ("embedding", f"int8 [{parts}, {channels}]"),
    ]
    table(f"{graph.model} {graph.bits}: {out}", ("", "value"), rows)
    console.print(message)
    facts = {
        "model": graph.model,
        "bits": graph.bits,
        "operators": len(graph.ops),
        "parameters": parameters,
        "file_bytes": size,
        "macs_per_frame": frame_macs,
        "macs_per_embedding": clip_macs,
        "embedding": [parts, channels],
    }
    write_json(json_file, facts)
