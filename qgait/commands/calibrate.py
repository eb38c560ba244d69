"""``qgait calibrate``: from a float checkpoint to a quantized model, without training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from qgait.commands.backbone_option import BackboneOption
from qgait.commands.output import console, progress, table, write_json


@click.command()
@click.option("--model", cls=BackboneOption, help="Backbone: {names}; recognised from the checkpoint when not given.")
@click.option(
    "--checkpoint", required=True, type=click.Path(path_type=Path), help="OpenGait or qgait checkpoint (.pt)."
)
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Silhouettes in OpenGait's layout.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The quantized model (.safetensors).")
@click.option("--bits", default="w8a8", show_default=True, help="Bits of weights and activations, w2a2 to w8a8.")
@click.option("--first-last", default="8", show_default=True, help="Bits of the first and last layer: 8 or same.")
@click.option("--method", default="mse", show_default=True, help="Ranges: mse, percentile or minmax.")
@click.option("--sequences", default=48, show_default=True, help="Sequences to look at.")
@click.option("--partition", help="Partition file or name; calibrates on its training people.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the report as JSON.")
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
    from qgait.calibration.calibrate import calibrate as run
    from qgait.data.opengait import Dataset
    from qgait.data.selection import load_clips, spread
    from qgait.models import checkpoint as checkpoints
    from qgait.models.backbone import describe
    from qgait.quantizers import model_file
    from qgait.quantizers.grid import Recipe

    recipe = replace(Recipe.parse(bits), first_last=first_last)  # type: ignore[arg-type]  # it refuses others
    network = checkpoints.load(checkpoint, model)
    chosen = spread(Dataset.open(data, partition).train, sequences)
    with progress() as report:
        clips = load_clips(chosen, report)
        quantized, found = run(network.name, describe(network), clips, recipe, method, report)
    model_file.save(quantized, out)
    rows = [(t.tensor, t.bits, f"{t.step:.5g}", f"{t.clipped:.3%}", f"{t.drift:.1%}") for t in found.tensors]
    table(
        f"{network.name} {recipe}: {found.clips} sequences, {found.frames} frames each, {found.method}",
        ("tensor", "bits", "step", "clipped", "step of half the data"),
        rows,
    )
    console.print(found.verdict())
    console.print(f"Wrote {out} ({out.stat().st_size / 1000:.0f} kB).")
    write_json(json_file, found.to_dict())
