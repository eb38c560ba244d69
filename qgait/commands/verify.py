"""``qgait verify``: an ONNX file or a bundle against the model it was made from: every constant, then every code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from qgait.commands.numbers import Whole
from qgait.commands.output import console, notes, progress, table, write_json
from qgait.commands.paths import InputPath, json_option
from qgait.errors import ParityError, QgaitError
from qgait.verification.parity import SHOWN, Parity
from qgait.verification.verify import DEFAULT_RUNTIMES, FRAMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qgait.export.graph import Graph
    from qgait.progress import Progress
    from qgait.quantizers.simulated import SimulatedNetwork
    from qgait.signing.check import SignedBy
    from qgait.verification.parity import FakeResult

PROBES = 8  # sequences of blobs, noise and extremes where no data are given


@click.command()
@click.argument("path", metavar="PATH", type=InputPath())
@click.option("--key", type=InputPath(), help="Who must have signed PATH: a public key (PEM).")
@click.option("--model", type=InputPath(), help="The model that it was made from.")
@click.option("--data", type=InputPath(), help="Silhouettes in OpenGait's layout; else blobs and noise.")
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    help=f"reference, ort, tosa, npu, or any of `qgait targets`; repeatable. Default: {' '.join(DEFAULT_RUNTIMES)}.",
)
@click.option(
    "--sequences", type=Whole(), default=50, show_default=True, help="Sequences, drawn over people, conditions, views."
)
@click.option(
    "--frames",
    type=Whole(least=0),
    default=FRAMES,
    show_default=True,
    help="The first frames of every sequence; 0 takes all of them.",
)
@click.option("--vela-config", type=InputPath(), help="The vela.ini that an NPU's bundle was made with.")
@json_option
def verify(
    path: Path,
    key: Path | None,
    model: Path | None,
    data: Path | None,
    runtimes: tuple[str, ...],
    sequences: int,
    frames: int,
    vela_config: Path | None,
    json_file: Path | None,
) -> None:
    """Prove that PATH, an ONNX file or a bundle, is what MODEL gives, in every constant and in every code.

    A bundle is compiled again and compared byte by byte; it needs the versions of TVM and zig that it was compiled
    with. With --key, first that PATH (a model, an ONNX file, a bundle) is what the owner of that key signed; with
    nothing else only that. Exit code 1 if anything differs.
    """
    signed = _signed(path, key)
    if signed is not None and model is None and data is None:
        write_json(json_file, signed.to_dict())
        return
    if model is None:
        raise click.UsageError("Missing option '--model'.")
    from qgait.quantizers import model_file

    if path.is_dir() and runtimes:
        raise QgaitError(f"{path} is a bundle, which is a runtime itself.", "leave --runtime out.")
    network = model_file.load(model)
    with progress() as report:
        if path.is_dir():
            parity, title = _bundle(path, network, data, sequences, frames, vela_config, report)
        else:
            parity, title = _onnx(path, network, data, runtimes or DEFAULT_RUNTIMES, sequences, frames, report)
    _show(parity, title, path)
    write_json(json_file, parity.to_dict() | ({} if signed is None else signed.to_dict()))
    _conclude(parity, path)


def _onnx(
    path: Path,
    network: SimulatedNetwork,
    data: Path | None,
    runtimes: tuple[str, ...],
    sequences: int,
    frames: int,
    report: Progress,
) -> tuple[Parity, str]:
    from qgait.export.onnx.reader import read
    from qgait.verification.by_name import check_names
    from qgait.verification.parity import check_model
    from qgait.verification.verify import verify as prove

    check_names(runtimes)
    graph = read(path)
    check_model(network, graph)
    clips = _clips(graph, data, sequences, frames, runtimes, report)
    return prove(graph, network, clips, runtimes, path, report), f"{graph.model} {graph.bits}"


def _bundle(
    path: Path,
    network: SimulatedNetwork,
    data: Path | None,
    sequences: int,
    frames: int,
    vela_config: Path | None,
    report: Progress,
) -> tuple[Parity, str]:
    from qgait.export.folding import fold
    from qgait.runtime.bundle import Bundle
    from qgait.verification.verify_bundle import verify_bundle

    bundle = Bundle.open(path)
    clips = _clips(fold(network), data, sequences, frames, (bundle.target.name,), report)
    found = verify_bundle(bundle, network, clips, report, vela_config)
    console.print(f"{found.files} files of {found.bytes:,} bytes were compared with a fresh bundle.", soft_wrap=True)
    for line in () if found.proof is None else found.proof.sentences:
        console.print(line, soft_wrap=True)
    if found.why_not is not None and found.proof is None:
        notes.print(f"The bundle was NOT run: {found.why_not}", style="bold yellow", soft_wrap=True)
    return found.parity, f"{bundle.model} {bundle.manifest['bits']} for {bundle.target_name}"


def _clips(
    graph: Graph, data: Path | None, sequences: int, frames: int, runtimes: tuple[str, ...], report: Progress
) -> list[NDArray[np.uint8]]:
    from qgait.data.selection import clips_of
    from qgait.export.probe import probe_clips
    from qgait.verification import cost

    if data is None:
        clips = probe_clips(graph, PROBES, FRAMES)
        what = f"{len(clips)} sequences of blobs, noise and extremes (real ones: --data)"
    else:
        clips = clips_of(data, sequences, frames or None, report)
        length = f"at most {frames}" if frames else "all"
        what = f"{len(clips)} sequences of {length} frames (fewer: --frames, --sequences)"
    notes.print(
        f"{what}, on {', '.join(runtimes)}: this takes {cost.in_words(cost.seconds(graph, clips, runtimes))}.",
        soft_wrap=True,
    )
    return clips


def _show(parity: Parity, title: str, path: Path) -> None:
    for difference in parity.file[:SHOWN]:
        console.print(f"{path}: {difference}", soft_wrap=True)
    if len(parity.file) > SHOWN:
        console.print(f"{path}: {len(parity.file) - SHOWN} more places differ.", soft_wrap=True)
    fake = parity.fake
    assert fake is not None
    rows: list[tuple[Any, ...]] = [
        _fake_row("fake, float32", fake.mismatches, fake),
        _fake_row("fake, float64", fake.mismatches_float64, fake),
    ]
    for label, r in parity.runtimes.items():
        rows.append((label, r.mismatches, r.max_difference, r.real_mismatches, r.first_layer or "-"))
    table(
        f"{title}: {parity.sequences} sequences, {parity.codes:,} codes, against the reference",
        ("runtime", "differing codes", "largest difference", "differing reals", "first layer that differs"),
        rows,
    )
    if fake.mismatches > parity.codes / 1000:
        notes.print(f"Simulation in float32 differs in {fake.mismatches} codes, more than 1 in 1,000.")


def _conclude(parity: Parity, path: Path) -> None:
    """ParityError that names everything that is not equal, or the sentence that all is."""
    if not parity.holds:
        bad = [f"{path} itself, in {len(parity.file)} places"] if parity.file else []
        bad += [label for label, r in parity.runtimes.items() if not r.holds]
        bad += ["fake in float64"] if parity.fake is not None and parity.fake.mismatches_float64 else []
        raise ParityError(f"Not equal: {', '.join(bad)}.")
    codes = (
        "every runtime gives the integers of the simulated-quantization model: 0 differing codes"
        if parity.runtimes
        else "simulated quantization gives the reference's codes"
    )
    console.print(f"Every constant of {path} is the model's, and {codes}.", soft_wrap=True)


def _signed(path: Path, key: Path | None) -> SignedBy | None:
    """Who signed ``path``, which is said; ParityError unless it was the owner of ``key``, if there is one."""
    if key is None:
        return None
    from qgait.signing.check import check_signature

    signed = check_signature(path, key)
    console.print(str(signed), soft_wrap=True)
    return signed


def _fake_row(label: str, mismatches: int, fake: FakeResult) -> tuple[object, ...]:
    first = fake.first_layer if mismatches and label.endswith("64") else None
    return (label, mismatches, fake.max_difference if mismatches else 0, "-", first or "-")
