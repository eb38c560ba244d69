"""``qgait demo``: the whole main job on the shipped model, each stage as the command that anybody could type."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from qgait.commands.output import console, notes, progress, table, write_json
from qgait.errors import ParityError, QgaitError

SEED = 4242  # of the people; the shipped model was trained on another seed's
FRAMES = 12  # mean length of a walk, half a gait cycle: simulation and ONNX Runtime take milliseconds a frame
TRACED = 4  # walks that are compared layer by layer
EMULATED = ("arm", "arm64-v8")
COMPILED = ("host", "arm")


@dataclass
class Demo:
    """One run: what was typed, how long it took, what failed and what could not be checked."""

    out: Path
    stages: list[tuple[str, ...]]
    unchecked: list[str]
    failures: list[str] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)

    def forget(self) -> None:
        """Deletes the figures of an earlier run, which must not pass for this one's."""
        written = [Path(words[words.index("--json") + 1]) for words in self.stages if "--json" in words]
        for file in (*written, self.out / "demo.json", self.out / "report.html"):
            file.unlink(missing_ok=True)

    def run(self) -> None:
        """Types every stage; a failed check is noted and the rest goes on."""
        from qgait.cli import cli

        for number, words in enumerate(self.stages, 1):
            line = shlex.join(["qgait", *words])
            console.print(f"\n[{number}/{len(self.stages)}] {line}", style="bold", markup=False, soft_wrap=True)
            start = time.perf_counter()
            try:
                cli.main(list(words), prog_name="qgait", standalone_mode=False)
            except ParityError as error:
                self.failures.append(f"{line}: {error}")
                notes.print(str(error), style="bold red", markup=False)
            except QgaitError as error:
                if "qemu" not in words:  # counting needs an emulator with plugins and a C compiler
                    raise
                self.unchecked.append(skipped(error, "The instructions of the ARM code were not counted."))
            self.commands.append({"command": line, "seconds": time.perf_counter() - start})

    def result(self, name: str) -> dict[str, Any]:
        """What a stage wrote; empty if its check failed before that."""
        file = self.out / f"{name}.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


@click.command()
@click.option("--out", default=Path("qgait-demo"), show_default=True, type=click.Path(path_type=Path), help="Folder.")
@click.option("--people", default=8, show_default=True, help="Synthetic people to recognise.")
@click.option("--sequences", default=50, show_default=True, help="Walks on which every integer is compared.")
def demo(out: Path, people: int, sequences: int) -> None:
    """Export, verify, compile, evaluate and measure the shipped model; ends with a table and a report.

    Exit code 1 if a single integer differs.
    """
    from qgait.models import shipped
    from qgait.report import render

    if people < 2 or sequences < TRACED:
        raise QgaitError(
            f"{people} people and {sequences} sequences prove nothing.",
            f"use at least 2 people and {TRACED} sequences.",
        )
    source = shipped.path()
    device, unchecked = emulation()
    start = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    model = out / source.name
    console.print(
        f"cp {shlex.quote(str(source))} {shlex.quote(str(model))}", style="bold", markup=False, soft_wrap=True
    )
    shutil.copyfile(source, model)
    run = Demo(out, stages(out, model, people, sequences, device), unchecked)
    run.forget()
    with one_torch_thread():
        run.run()
    if not run.result("verify"):
        raise ParityError(" ".join(run.failures))
    facts = collect(run, model)
    write_json(out / "demo.json", facts)
    render.render(facts, out / "report.html")
    show(facts, time.perf_counter() - start)
    console.print(f"Report: {out / 'report.html'}   figures: {out / 'demo.json'}", soft_wrap=True)
    if not facts["verdict"]["holds"]:
        raise ParityError(" ".join(run.failures) or f"Codes inside the network differ: see {out / 'report.html'}.")


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


def stages(out: Path, model: Path, people: int, sequences: int, device: str | None) -> list[tuple[str, ...]]:
    """The commands, without the word qgait; ``device`` measures ARM code, None leaves it out."""
    data, onnx = str(out / "walkers"), str(out / "model.onnx")
    bundles = {target: str(out / target) for target in COMPILED}

    def figures(name: str) -> tuple[str, str]:
        return "--json", str(out / f"{name}.json")

    runtimes = ["reference", "ort", "host", *(EMULATED if device else ())]
    jobs = str(min(os.cpu_count() or 1, 4))
    synth = ("data", "synth", data, "--subjects", str(people), "--seed", str(SEED))
    result: list[tuple[str, ...]] = [
        (*synth, "--frames", str(FRAMES), "--jobs", jobs),
        ("export", str(model), "--out", onnx, *figures("export")),
        (
            *("verify", onnx, "--model", str(model), "--data", data, "--sequences", str(sequences)),
            *(word for runtime in runtimes for word in ("--runtime", runtime)),
            *figures("verify"),
        ),
    ]
    result += [("compile", onnx, "--target", target, "--out", bundle) for target, bundle in bundles.items()]
    evaluate = ("--data", data, "--protocol", "casia-b")
    result += [
        ("eval", str(model), *evaluate, "--level", "float", *figures("eval-float")),
        ("eval", str(model), *evaluate, "--level", "fake", *figures("eval-fake")),
        ("eval", onnx, *evaluate, "--runtime", "ort", *figures("eval-ort")),
        ("eval", bundles["host"], *evaluate, *figures("eval-host")),
        ("bench", bundles["host"], *figures("bench-host")),
    ]
    if device:
        result.append(("bench", bundles["arm"], "--device", device, *figures("bench-arm")))
    return result


def emulation() -> tuple[str | None, list[str]]:
    """The ``--device`` on which ARM code is measured, and what cannot be checked without an emulator."""
    from qgait.runtime.qemu import launcher
    from qgait.targets.processors import find

    try:
        emulated = [launcher(target.elf_machine, target.qemu or ()) for target in map(find, EMULATED)]
    except QgaitError as error:
        consequence = f"The ARM code was compiled, but not run, compared or measured ({', '.join(EMULATED)})."
        return None, [skipped(error, consequence)]
    return ("qemu" if any(emulated) else "local"), []


def skipped(error: QgaitError, consequence: str) -> str:
    """Says loudly what is not checked and how it could be; refuses where a missing check must not pass unseen."""
    if os.environ.get("CI") == "true":
        raise QgaitError(f"{error.problem} With CI=true nothing is skipped.", error.fix)
    sentence = f"{error.problem} {consequence} Fix: {error.fix}"
    notes.print(f"Not checked: {sentence}", style="bold yellow", markup=False)
    return sentence


def collect(run: Demo, model: Path) -> dict[str, Any]:
    """Everything that the report says, as plain data."""
    from qgait.data.opengait import Dataset
    from qgait.data.selection import load_clips, spread
    from qgait.export.onnx.reader import read
    from qgait.models import shipped
    from qgait.quantizers import model_file
    from qgait.report import facts, kernels, network, pictures
    from qgait.report.layer_errors import layer_errors

    verify = run.result("verify")
    graph, simulated = read(run.out / "model.onnx"), model_file.load(model)
    dataset = Dataset.open(run.out / "walkers")
    with progress() as report:
        clips = load_clips(spread(dataset.sequences, TRACED))
        errors = layer_errors(simulated, graph, clips, report)
    evaluations = [found for name in ("float", "fake", "ort", "host") if (found := run.result(f"eval-{name}"))]
    benchmarks = {target: found for target in COMPILED if (found := run.result(f"bench-{target}"))}
    sizes = {
        "float": 4 * graph.parameters,
        "fake": model.stat().st_size,
        "ort": (run.out / "model.onnx").stat().st_size,
    }
    return {
        "verdict": facts.verdict(verify, errors, run.failures, run.unchecked),
        "table": facts.table(verify, evaluations, benchmarks, sizes),
        "data": {"people": len(dataset.subjects), "sequences": len(dataset.sequences), "seed": SEED, "traced": TRACED},
        "silhouettes": pictures.strips(dataset.sequences),
        "network": network.describe(graph, simulated.weight_bits),
        "errors": errors,
        "kernels": [kernels.describe(run.out / target) for target in COMPILED],
        "commands": run.commands,
        "provenance": shipped.provenance(),
        "versions": facts.versions(),
    }


def show(facts: dict[str, Any], seconds: float) -> None:
    """The closing table on the terminal; the same figures as in the report."""
    from qgait.report.render import count, percent, size, speed

    columns = ("level", "by", "nm %", "bg %", "cl %", "codes ≠", "a frame", "size")
    rows = []
    for row in facts["table"]:
        rank1 = row["rank1"] or dict.fromkeys(("nm", "bg", "cl"))
        accuracy = [percent(rank1[condition]) for condition in ("nm", "bg", "cl")]
        rows.append((row["level"], row["runtime"], *accuracy, count(row["differing"]), speed(row), size(row["bytes"])))
    verdict = facts["verdict"]
    console.print()
    table(
        f"{facts['network']['model']} {facts['network']['bits']}: rank-1 of {facts['data']['people']} people, "
        f"{verdict['codes']:,} codes of {verdict['sequences']} walks compared, {seconds:.0f} s",
        columns,
        rows,
    )
    for sentence in verdict["unchecked"]:
        console.print(f"Not checked: {sentence}", markup=False, soft_wrap=True)
    if verdict["holds"]:
        console.print("max |int difference| = 0, from PyTorch to the board.", style="bold green")
