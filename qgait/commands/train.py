"""``qgait train``: a float network from silhouettes under OpenGait's key names, or a quantized one from a float one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qgait.commands.backbone_option import BackboneOption
from qgait.commands.numbers import SEED, Positive, Whole
from qgait.commands.output import console, notes, progress, write_json
from qgait.commands.paths import InputPath, NameOrFile, OutputFolder, json_option


def _list_configs(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from qgait.training.configs import names, summary

        for name in names():
            console.print(name, style="bold")
            console.print(f"    {summary(name)}", soft_wrap=True)
        context.exit()


def _check_cache(context: click.Context, option: click.Parameter, folder: str | None) -> str | None:
    if folder not in (None, "off"):
        OutputFolder().convert(folder, option, context)
    return folder


@click.command()
@click.option(
    "--config",
    type=NameOrFile(),
    help="Settings: a name from --list-configs, or a YAML file.  [MODEL-casia-b on all people]",
)
@click.option("--set", multiple=True, metavar="KEY=VALUE", help="Change any setting, as losses.triplet.margin=0.3.")
@click.option(
    "--list-configs", is_flag=True, is_eager=True, expose_value=False, callback=_list_configs, help="Name them."
)
@click.option("--model", cls=BackboneOption, help="Backbone: {names}.  [gaitset, or that of --init]")
@click.option("--data", type=InputPath(), help="Silhouettes in OpenGait's layout.")
@click.option("--out", required=True, type=OutputFolder(), help="Folder of the run.")
@click.option("--partition", type=NameOrFile(), help="Partition file or name; trains on its training people.")
@click.option("--protocol", help="How test people are evaluated: casia-b, oumvlp, grew or gait3d.")
@click.option(
    "--cache",
    callback=_check_cache,
    help="Folder of the packed silhouettes; off reads the data's files.  [one that all runs share]",
)
@click.option("--init", type=InputPath(), help="Start from this checkpoint.")
@click.option("--bits", help="Train at these bits, w2a2 to w8a8, from the float checkpoint --init.")
@click.option("--iterations", type=Whole(), help="With --bits a third of them is stage 2.")
@click.option("--minutes", type=Positive(1e7), help="Train for so long; the schedule follows the clock.")
@click.option("--people", type=Whole(most=100_000), help="People in a batch.")
@click.option("--clips", type=Whole(most=100_000), help="Clips of each of them.")
@click.option("--frames", type=Whole(most=100_000), help="Frames of a clip, always as many.")
@click.option("--optimizer", type=click.Choice(["sgd", "adam"]))
@click.option("--learning-rate", type=Positive(1e3), help="With --bits relative, of stage 1; stage 2 has a tenth.")
@click.option("--milestones", help="Iterations at which it is divided by 10, as 10000,20000.")
@click.option("--precision", type=click.Choice(["float32", "bfloat16", "float16"]))
@click.option(
    "--evaluate-every", type=Whole(least=0), help="Rank-1 on test people every so many iterations.  [at the end]"
)
@click.option("--device", help="cpu or cuda.")
@click.option("--seed", type=SEED)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the folder, as it was begun.")
@json_option
def train(out: Path, json_file: Path | None, **options: Any) -> None:
    """Train a network. A float run writes OUT/checkpoint.pt, which `qgait calibrate` and --init take as it is.

    With --bits a float checkpoint is quantized and trained on in two stages (docs/training.md); OUT/model.safetensors
    is for `qgait export`, `verify` and `eval`. OUT/config.yaml has all settings: `qgait train --resume --out OUT` goes
    on without any other option.
    """
    from qgait.training.configure import configure
    from qgait.training.distributed import connect
    from qgait.training.run import Listener, run
    from qgait.verification.host_integers import HostIntegers

    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    def note(line: str) -> None:
        notes.print(line, soft_wrap=True)

    connect()
    configuration = configure(out, options, note)
    trained = run(configuration, out, options["resume"], Listener(say, note, progress), HostIntegers())
    if trained is not None:
        write_json(json_file, trained.to_dict())
