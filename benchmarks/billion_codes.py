"""A billion codes of embeddings: the compiled library's against ONNX Runtime's, the reference's, emulated ARM code's.

    python benchmarks/billion_codes.py --state counts.json
    python benchmarks/billion_codes.py --state counts.json --data FOLDER --checkpoint gaitset.pt
    python benchmarks/billion_codes.py --codes 1e6 --networks 12

Goes through networks (all backbones, random and trained weights, four bit widths) until so many codes of the compiled
library were compared with ONNX Runtime's; a few of each network also with the numpy reference, and of every fourth
network with one ARM target under QEMU, each in turn. Clips are people, noise, extremes; lengths are those at which
rings and repetitions end. Every code has to be equal. Embeddings that are constant, or that the same network gave
before, are compared and not counted. Networks and clips follow from their numbers: after Ctrl-C the same command goes
on with the network at which it was stopped. Exits with 1 at the first difference, and --state says how to see it again;
with 2 on wrong use. Takes one core.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from code_counts import CodeCounts
from hard_clips import Clip, walkers
from network_comparison import DifferenceError, Network, emulated_targets
from network_series import Member, NetworkSeries, digest

from qgait.commands.output import table, write_json
from qgait.data.selection import clips_of
from qgait.errors import ParityError, QgaitError

EMULATED_EVERY = 4  # networks
SEQUENCES = 200  # of a data set
REFUSED = 8  # networks without a single code, after which something is wrong


def compare_network(
    series: NetworkSeries, number: int, seed: int, people: Sequence[Clip], wanted: int
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What was counted of one network, and the first difference if there is one."""
    member = series.member(number)
    row: dict[str, Any] = {"number": number, "backbone": member.backbone, "weights": member.weights} | described(member)
    targets = emulated_targets()
    turn, rest = divmod(number, EMULATED_EVERY)
    with tempfile.TemporaryDirectory(prefix="qgait-") as folder:
        try:
            network = Network(series.graph(number), people, [seed, number], Path(folder))
        except QgaitError as error:
            return row | {"refused": str(error), "clips": 0, "codes": {}}, None
        row["embedding"] = list(network.graph.tensors[network.graph.output].shape)
        row["onnx_sha256"] = network.onnx_sha256
        try:
            compared = network.compare(wanted, None if rest else targets[turn % len(targets)])
        except DifferenceError as different:
            kind, clip = network.clip(int(different.facts["clip"]))
            clip_seed = [seed, number, different.facts["clip"]]
            return row, row | different.facts | {"clip_seed": clip_seed, "kind": kind, "frames": len(clip)}
    return row | compared.row(), None


def described(member: Member) -> dict[str, Any]:
    """The form of a network for people."""
    form = " ".join(f"{key}={str(value).replace(' ', '')}" for key, value in member.variant.items())
    return {"form": form, "bits": member.bits}


def main(arguments: argparse.Namespace) -> None:
    """Prints a line a network, and the table at the end, however it ends. ParityError at the first difference."""
    torch.set_num_threads(1)
    people = walkers()
    if arguments.data is not None:
        people += clips_of(arguments.data, SEQUENCES)
    series = NetworkSeries(arguments.seed, arguments.checkpoint)
    settings = {
        "seed": arguments.seed,
        "codes_a_network": max(arguments.codes // arguments.networks, 1),
        "checkpoints": {path.name: digest(path) for path in arguments.checkpoint},
        "people": hashlib.sha256(b"".join(clip.tobytes() for clip in people)).hexdigest(),
        "sequences": len(people),
    }
    counts = CodeCounts(arguments.state, settings, arguments.first)
    try:
        while counts.total("ONNX Runtime") < arguments.codes:
            since = time.monotonic()
            row, difference = compare_network(
                series, counts.next, arguments.seed, people, int(settings["codes_a_network"])
            )
            seconds = time.monotonic() - since
            if difference is not None:
                difference["again"] = f"--seed {arguments.seed} --first {counts.next}, the other options as they were"
                counts.differs(difference, seconds)
                raise ParityError(
                    f"Network {counts.next} ({row['backbone']} {row['bits']}), clip {difference['clip']}, code "
                    f"{difference['index']}: {difference['runtime']} gives {difference['code']}, the library "
                    f"{difference['library']}. {arguments.state} says how to see it again."
                )
            counts.passed(row, seconds)
            say(row, counts, seconds, arguments.codes)
            if len(counts.rows) >= REFUSED and not counts.total("ONNX Runtime"):
                raise QgaitError("No network could be compared.", f"see why in {arguments.state}.")
    finally:
        if counts.rows:
            for key in ("backbone", "weights", "bits"):
                columns, rows = counts.summary(key)
                table("Equal codes, compiled library against", columns, rows)
        write_json(arguments.json, counts.facts)


def say(row: dict[str, Any], counts: CodeCounts, seconds: float, wanted: int) -> None:
    """One line of progress."""
    name = " ".join(word for word in (row["backbone"], row["form"], row["bits"], row["weights"]) if word)
    done, spent = counts.total("ONNX Runtime"), counts.facts["seconds"]
    rate = done / max(spent, 1e-9)
    codes = ", ".join(f"{runtime} {count:,}" for runtime, count in row["codes"].items()) or row.get(
        "refused", "nothing"
    )
    left = f", {(wanted - done) / rate / 60:.0f} min left" if 0 < done < wanted else ""
    print(
        f"{row['number']} {name}: {codes}; {seconds:.0f} s. In all {done:,} of {wanted:,}, {rate:,.0f} a second{left}",
        flush=True,
    )


def count(text: str) -> int:
    """A number above zero, written 1000000 or 1e6."""
    try:
        value = int(float(text))
    except (ValueError, OverflowError):
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number above zero")
    return value


def number(text: str) -> int:
    """A number from zero on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no number from zero on")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--codes", type=count, default=10**9, help="to compare with ONNX Runtime; a billion unless given")
    made.add_argument("--networks", type=count, default=64, help="that the codes are spread over, at least")
    made.add_argument("--seed", type=number, default=0, help="of networks and clips")
    made.add_argument("--first", type=number, default=0, help="the network that a new count begins with")
    made.add_argument("--checkpoint", action="append", type=Path, default=[], help="a trained network; repeatable")
    made.add_argument("--data", type=Path, help="silhouettes in OpenGait's layout, beside synthetic walkers")
    made.add_argument("--state", type=Path, default=Path("code-counts.json"), help="what was counted; goes on there")
    made.add_argument("--json", type=Path, help="write what was counted as JSON; - for standard output")
    return made


def run(words: list[str] | None = None) -> int:
    """The exit code of one command line."""
    try:
        main(parser().parse_args(words))
    except (ParityError, QgaitError) as error:
        print(error, file=sys.stderr)
        return 1 if isinstance(error, ParityError) else 2
    except KeyboardInterrupt:
        print("Stopped; the same command goes on with this network.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(run())
