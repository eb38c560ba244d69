"""The long form of compiler/test_guarded_memory.py: every processor, every example network, a million pushes.

    make sanitize
    python tests/sanitize.py [TARGET ...] [--pushes 1e6]

Each network runs between guards at all 64 alignments of its arena, with two walkers in turn, and with frames pushed on
one arena a million times (fewer where a frame takes long or the processor is emulated); then with clang's checks of
undefined behaviour in all C, which trap. On this machine also with ASan in kernels and C, and under valgrind, for which
the kernels are those of a processor with AVX2: it does not know AVX-512. Exits with 1 when anything was found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from compiled_bundles import GRAPHS, graph
from guarded_memory import How, build

from qgait.compiler.assembly import Assembly, assemble
from qgait.targets.processors import Target, all_targets, host

BASELINES = {"host-avx2": {"avx2", "fma", "bmi2"}, "host-sse2": set[str]()}
LARGE = ("gaitset", "gaitbase")  # their frames take a thousand times as long
FEWER = 100


def processors() -> dict[str, Target]:
    """All targets, and this machine without its newest instructions."""
    found = {target.name: target for target in all_targets()}
    if found["host"].zig_target.startswith("x86_64"):
        found |= {name: host("x86_64", features) for name, features in BASELINES.items()}
    return found


def runs(name: str, target: Target, network: str, pushes: int) -> Iterator[tuple[How, bool, int, int, int]]:
    """How each network runs: build, whether constants begin at their guard, shifts, rounds in turn, pushes."""
    slow = network in LARGE
    if target.bare_metal:
        if network != "gaitbase":  # minutes for a frame
            yield "guards", False, 1 if slow else 4, 1 if slow else 6, 0 if slow else pushes // FEWER
            yield "ubsan", True, 1, 1, 0
        return
    if slow and target.qemu is not None:
        yield "ubsan", False, 1, 0, 0
        return
    often = network == "tiny" or target.qemu is None
    yield "guards", False, 8 if slow else 64, 1 if slow else 12, pushes // (FEWER if slow else 1 if often else 10)
    yield "guards", True, 1, 1, 0
    yield "ubsan", False, 1 if slow else 16, 1, 0
    if target.qemu is None and name != "host-sse2":
        yield "asan", False, 1 if slow else 64, 1 if slow else 6, 0 if slow else pushes // FEWER
    if name == "host-avx2":
        yield "valgrind", False, 0, 0 if slow else 2, 0 if slow else pushes // FEWER // FEWER


def check(name: str, network: str, assembly: Assembly, pushes: int) -> list[str]:
    """Prints a line a run; the lines of those that found something."""
    found = []
    for how, in_front, shifts, interleaved, count in runs(name, assembly.program.target, network, pushes):
        with tempfile.TemporaryDirectory(prefix="qgait-") as folder:
            since = time.monotonic()
            made = build(assembly, Path(folder), how, count, in_front)
            done = made.run(shifts, interleaved, count)
        fine = done.returncode == 0 and "all walks are right" in done.stdout
        what = "right" if fine else f"WRONG: code {done.returncode}, {done.stderr.strip()[-2000:]}"
        line = f"{name} {network} {how}: {shifts} shifts, {interleaved} rounds, {count:,} pushes: {what}"
        print(f"{line}, {time.monotonic() - since:.0f} s", flush=True)
        if not fine:
            found.append(line)
    return found


def main(arguments: argparse.Namespace) -> int:
    """The exit code."""
    known = processors()
    unknown = [name for name in arguments.targets if name not in known]
    if unknown:
        print(f"There is no processor {unknown[0]}: choose from {', '.join(known)}.", file=sys.stderr)
        return 2
    found = []
    for name in arguments.targets or known:
        for network in GRAPHS:
            found += check(name, network, assemble(graph(network), known[name]), arguments.pushes)
    print(f"{len(found)} runs found something" if found else "nothing was found")
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all unless some are named")
    parser.add_argument("--pushes", type=lambda text: int(float(text)), default=10**6)
    sys.exit(main(parser.parse_args()))
