"""``qgait train``: a float network from silhouettes, under OpenGait's key names."""

from __future__ import annotations

from pathlib import Path

import click

from qgait.commands.output import console


@click.command()
@click.option("--model", default="gaitset", show_default=True, help="Backbone: gaitset or gaitbase.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Silhouettes in OpenGait's layout.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--partition", help="Partition file or name; trains on its training people.")
@click.option("--init", type=click.Path(path_type=Path), help="Start from this checkpoint.")
@click.option("--iterations", default=40_000, show_default=True)
@click.option("--people", default=8, show_default=True, help="People in a batch.")
@click.option("--clips", default=16, show_default=True, help="Clips of each of them.")
@click.option("--frames", default=30, show_default=True, help="Frames of a clip, in random order.")
@click.option("--optimizer", default="sgd", show_default=True, type=click.Choice(["sgd", "adam"]))
@click.option("--learning-rate", default=0.1, show_default=True)
@click.option(
    "--milestones", default="10000,20000,30000", show_default=True, help="Iterations at which it is divided by 10."
)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--seed", default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the folder.")
def train(
    model: str,
    data: Path,
    out: Path,
    partition: str | None,
    init: Path | None,
    iterations: int,
    people: int,
    clips: int,
    frames: int,
    optimizer: str,
    learning_rate: float,
    milestones: str,
    device: str,
    seed: int,
    resume: bool,
) -> None:
    """Train a float network; `qgait calibrate` takes OUT/checkpoint.pt as it is."""
    from qgait.data.opengait import Dataset
    from qgait.errors import QgaitError
    from qgait.models import checkpoint
    from qgait.models.registry import build
    from qgait.training.loop import CHECKPOINT, Settings
    from qgait.training.loop import train as run

    try:
        steps = tuple(int(text) for text in milestones.split(",") if text)
    except ValueError as error:
        raise QgaitError(f"'{milestones}' is not a list of iterations.", "write for example 10000,20000.") from error
    sequences = Dataset.open(data, partition).train
    classes = len({sequence.subject for sequence in sequences})
    if init is not None:
        network = checkpoint.load(init, model)
    else:
        network = build(model, classes=classes) if model == "gaitbase" else build(model)
    settings = Settings(
        iterations=iterations,
        people=people,
        clips=clips,
        frames=frames,
        optimizer=optimizer,
        learning_rate=learning_rate,
        milestones=steps,
        seed=seed,
    )
    losses = run(network, sequences, settings, out, device=device, resume=resume)
    console.print(
        f"{len(losses)} iterations on {classes} people, last loss {losses[-1]:.4f}. Wrote {out / CHECKPOINT}."
    )
