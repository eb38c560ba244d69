"""``qgait train``: a float network from silhouettes under OpenGait's key names, or a quantized one from a float one."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from qgait.commands.output import console

FLOAT_ONLY = ("optimizer", "milestones")  # quantized training has SGD and milestones of its own


@click.command()
@click.option("--model", default="gaitset", show_default=True, help="Backbone: gaitset or gaitbase.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Silhouettes in OpenGait's layout.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--partition", help="Partition file or name; trains on its training people.")
@click.option("--init", type=click.Path(path_type=Path), help="Start from this checkpoint.")
@click.option("--bits", help="Train at these bits, w2a2 to w8a8, from the float checkpoint --init.")
@click.option("--iterations", default=40_000, show_default=True, help="With --bits a third of them is stage 2.")
@click.option("--people", default=8, show_default=True, help="People in a batch.")
@click.option("--clips", default=16, show_default=True, help="Clips of each of them.")
@click.option("--frames", default=30, show_default=True, help="Frames of a clip, in random order.")
@click.option("--optimizer", default="sgd", show_default=True, type=click.Choice(["sgd", "adam"]))
@click.option(
    "--learning-rate", type=float, help="0.1; with --bits 0.01 in stage 1.  [stage 2 has a tenth of stage 1's]"
)
@click.option(
    "--milestones", default="10000,20000,30000", show_default=True, help="Iterations at which it is divided by 10."
)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--seed", default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the folder.")
@click.pass_context
def train(
    context: click.Context,
    model: str,
    data: Path,
    out: Path,
    partition: str | None,
    init: Path | None,
    bits: str | None,
    iterations: int,
    people: int,
    clips: int,
    frames: int,
    optimizer: str,
    learning_rate: float | None,
    milestones: str,
    device: str,
    seed: int,
    resume: bool,
) -> None:
    """Train a network. A float run writes OUT/checkpoint.pt, which `qgait calibrate` and --init take as it is.

    With --bits a float checkpoint is quantized and trained on in two stages (docs/training.md); OUT/model.safetensors
    is for `qgait export`, `verify` and `eval`.
    """
    from qgait.data.opengait import Dataset
    from qgait.errors import QgaitError
    from qgait.models import checkpoint
    from qgait.models.gaitbase import GaitBase
    from qgait.models.registry import build
    from qgait.training.loop import CHECKPOINT, Settings
    from qgait.training.loop import train as run

    given = {name for name in context.params if context.get_parameter_source(name) != ParameterSource.DEFAULT}
    if bits is not None:
        if init is None:
            raise QgaitError("Training at --bits starts from a float network.", "name its checkpoint with --init.")
        odd = [name for name in FLOAT_ONLY if name in given]
        if odd:
            raise QgaitError(f"--{odd[0]} is for float training.", "leave it out, or leave --bits out.")
        from qgait.quantizers.grid import Recipe
        from qgait.training.quantized import MODEL, train_quantized
        from qgait.training.stages import QuantizedSettings

        recipe = Recipe.parse(bits)
        rate = 0.01 if learning_rate is None else learning_rate
        quantized = QuantizedSettings(
            iterations=(iterations - iterations // 3, iterations // 3),
            learning_rates=(rate, rate / 10),
            people=people,
            clips=clips,
            frames=frames,
            seed=seed,
        )
        teacher = checkpoint.load(init, model if "model" in given else None, classifier=True)
        result = train_quantized(
            teacher, Dataset.open(data, partition).train, recipe, quantized, out, device=device, resume=resume
        )
        console.print(
            f"{teacher.name} {recipe}: {len(result.losses)} iterations, last loss {result.losses[-1]:.4f}. Distances "
            f"between people against the float network's (Pearson, Spearman): {_pair(result.before)} calibrated, "
            f"{_pair(result.after)} trained. Wrote {out / MODEL}."
        )
        return

    try:
        steps = tuple(int(text) for text in milestones.split(",") if text)
    except ValueError as error:
        raise QgaitError(f"'{milestones}' is not a list of iterations.", "write for example 10000,20000.") from error
    sequences = Dataset.open(data, partition).train
    classes = len({sequence.subject for sequence in sequences})
    network = build(model) if init is None else checkpoint.load(init, model if "model" in given else None)
    if isinstance(network, GaitBase):
        network.new_classifier(classes)
    settings = Settings(
        iterations=iterations,
        people=people,
        clips=clips,
        frames=frames,
        optimizer=optimizer,
        learning_rate=0.1 if learning_rate is None else learning_rate,
        milestones=steps,
        seed=seed,
    )
    losses = run(network, sequences, settings, out, device=device, resume=resume)
    console.print(
        f"{len(losses)} iterations on {classes} people, last loss {losses[-1]:.4f}. Wrote {out / CHECKPOINT}."
    )


def _pair(correlation: tuple[float, float]) -> str:
    return f"{correlation[0]:.3f}, {correlation[1]:.3f}"
