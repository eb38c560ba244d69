"""``qgait demo``: the whole main job on the shipped model, each stage as the command that anybody could type."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from qgait.commands.numbers import Whole
from qgait.commands.output import console, write_json
from qgait.commands.paths import OutputFolder
from qgait.errors import ParityError, QgaitError
from qgait.files import replace_file

SEED = 4242  # of the people; the shipped model was trained on another seed's
FRAMES = 12  # mean length of a walk, half a gait cycle: simulation and ONNX Runtime take milliseconds a frame
COMPILED = ("host", "arm", "arm64-v8")
FEWEST_PEOPLE, FEWEST_SEQUENCES = 2, 4


@click.command()
@click.option("--out", default=Path("qgait-demo"), show_default=True, type=OutputFolder(), help="Folder.")
@click.option(
    "--people", type=Whole(FEWEST_PEOPLE, 999), default=8, show_default=True, help="Synthetic people to recognise."
)
@click.option(
    "--sequences",
    type=Whole(FEWEST_SEQUENCES),
    default=50,
    show_default=True,
    help="Walks on which every integer is compared.",
)
@click.pass_context
def demo(context: click.Context, out: Path, people: int, sequences: int) -> None:
    """Export, compile, verify, evaluate and measure the shipped model; ends with a table and a report.

    Exit code 1 if a single integer differs.
    """
    from qgait.models import shipped
    from qgait.report import render

    source, real = shipped.path(), shipped.checkpoint()
    require_emulators()
    page, figures = out / "report.html", out / "demo.json"
    for stale in (page, figures):  # figures of an earlier run must not pass for this one's
        stale.unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    for file in (source, real):
        copy = out / file.name
        console.print(f"cp {shlex.quote(str(file))} {shlex.quote(str(copy))}", style="bold", soft_wrap=True)
        replace_file(copy, file.read_bytes())
    group = context.find_root().command
    assert isinstance(group, click.Group)
    failure: ParityError | None = None
    commands: list[dict[str, Any]] = []
    with one_torch_thread():
        try:
            run(group, stages(out, out / source.name, out / real.name, people, sequences), commands)
        except ParityError as error:
            if not figures.exists():
                raise
            failure = error
    facts = json.loads(figures.read_text(encoding="utf-8"))
    facts |= {"commands": commands, "provenance": facts["provenance"] | shipped.provenance()}
    facts["data"]["seed"] = SEED
    write_json(figures, facts)
    render.render(facts, page)
    console.print(f"Figures: {figures}", soft_wrap=True)
    if failure is not None:
        raise failure


def run(group: click.Group, typed: Sequence[Sequence[str]], commands: list[dict[str, Any]]) -> None:
    """Types one stage after the other, and notes each in ``commands`` with what it took."""
    for number, words in enumerate(typed, 1):
        line = shlex.join(["qgait", *words])
        console.print(f"\n[{number}/{len(typed)}] {line}", style="bold", soft_wrap=True)
        start = time.perf_counter()
        try:
            group.main(list(words), prog_name="qgait", standalone_mode=False)
        finally:
            commands.append({"command": line, "seconds": time.perf_counter() - start})


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Layers this small gain little from more threads, which spin while they wait: 9 x slower on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def stages(out: Path, model: Path, checkpoint: Path, people: int, sequences: int) -> list[tuple[str, ...]]:
    """The commands, without the word qgait."""
    data, onnx = str(out / "walkers"), str(out / "model.onnx")
    bundles = {target: str(out / target) for target in COMPILED}
    jobs = str(min(os.cpu_count() or 1, 4))
    synth = ("data", "synth", data, "--subjects", str(people), "--seed", str(SEED))
    return [
        (*synth, "--frames", str(FRAMES), "--jobs", jobs),
        ("export", str(model), "--out", onnx),
        *(("compile", onnx, "--target", target, "--out", bundle) for target, bundle in bundles.items()),
        (
            *("report", onnx, "--model", str(model), "--checkpoint", str(checkpoint), "--data", data),
            *(word for bundle in bundles.values() for word in ("--bundle", bundle)),
            *("--sequences", str(sequences), "--out", str(out / "report.html"), "--json", str(out / "demo.json")),
        ),
    ]


def require_emulators() -> None:
    """With CI=true a processor that can neither run here nor be emulated is refused; the report says it otherwise."""
    from qgait.runtime.qemu import launcher
    from qgait.targets.processors import find

    if os.environ.get("CI") != "true":
        return
    for target in map(find, COMPILED):
        try:
            launcher(target.elf_machine, target.qemu or ())
        except QgaitError as error:
            raise QgaitError(f"{error.problem} With CI=true nothing is skipped.", error.fix) from error
