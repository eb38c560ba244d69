"""``qgait calibrate``: from a float checkpoint to a quantized model, without training."""

from __future__ import annotations

from pathlib import Path

import click

from qgait.commands.backbone_option import BackboneOption
from qgait.commands.numbers import Whole
from qgait.commands.output import console, progress, table, write_json
from qgait.commands.paths import InputPath, NameOrFile, OutputFile, json_option
from qgait.files import require_space


@click.command()
@click.option("--model", cls=BackboneOption, help="Backbone: {names}; recognised from the checkpoint when not given.")
@click.option("--checkpoint", required=True, type=InputPath(), help="OpenGait or qgait checkpoint (.pt).")
@click.option("--data", required=True, type=InputPath(), help="Silhouettes in OpenGait's layout.")
@click.option("--out", required=True, type=OutputFile(), help="The quantized model (.safetensors).")
@click.option("--bits", default="w8a8", show_default=True, help="Bits of weights and activations, w2a2 to w8a8.")
@click.option("--first-last", default="8", show_default=True, help="Bits of the first and last layer: 8 or same.")
@click.option("--method", default="mse", show_default=True, help="Ranges: mse, percentile or minmax.")
@click.option("--sequences", type=Whole(), default=48, show_default=True, help="Sequences to look at.")
@click.option("--partition", type=NameOrFile(), help="Partition file or name; calibrates on its training people.")
@json_option
def calibrate(
    model: str | None,
    checkpoint: Path,
    data: Path,
    out: Path,
    bits: str,
    first_last: str,
    method: str,
    sequences: int,
    partition: str | None,
    json_file: Path | None,
) -> None:
    """Choose integer grids for a float network from a few sequences."""
    from qgait import fold
    from qgait.calibration.from_silhouettes import calibrate_network
    from qgait.models import checkpoint as checkpoints
    from qgait.quantizers import model_file
    from qgait.targets.memory import kib

    network = checkpoints.load(checkpoint, model)
    require_space(out.parent, 4 * sum(weight.numel() for weight in network.parameters()), str(out))
    with progress() as report:
        quantized, found = calibrate_network(network, data, bits, first_last, method, sequences, partition, report)
    fold(quantized)  # what cannot be exported is not worth a file
    model_file.save(quantized, out)
    rows = [(t.tensor, t.bits, f"{t.step:.5g}", f"{t.clipped:.3%}", f"{t.drift:.1%}") for t in found.tensors]
    table(
        f"{network.name} {quantized.recipe}: {found.clips} sequences, {found.frames} frames each, {found.method}",
        ("tensor", "bits", "step", "clipped", "step of half the data"),
        rows,
    )
    console.print(found.verdict())
    console.print(f"Wrote {out} ({kib(out.stat().st_size)}).")
    write_json(json_file, found.to_dict())
