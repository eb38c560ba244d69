"""Digests of everything that qgait makes of every backbone, to see whether a change of the source changes its bytes.

    python benchmarks/artefact_bytes.py BEFORE --tree OTHER_CHECKOUT
    python benchmarks/artefact_bytes.py AFTER --against BEFORE
    python benchmarks/artefact_bytes.py AFTER --tree CHECKOUT --against BEFORE/digests.json gaitgl hstl

Networks have random weights and the narrow channels of parity_matrix.py. This clone writes their float checkpoints; all
else is made by the command line of ``--tree``, so that its modules may be others. FOLDER, new or empty, keeps the files
and digests.json, which is written network by network. Digests are sha256 of whole files, but

- manifest.json is without versions, files and checksum, which follow from the rest;
- every member of libgait.a also has its own, as ``libgait.a(glue.o)``;
- ``libgait.a, linked`` is all members linked to a program without debug information: where it alone is equal, the
  members differ in what never gets onto a device, such as the folder that they were compiled in.

``--against`` compares with the folder or the digests.json of another run, which may have more networks. Exits with 1
when any artefact differs or is missing on one side, with 2 on wrong use and when the tree cannot make an artefact.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from exit_code import exit_code
from parity_matrix import BITS, narrow

from qgait.commands.output import table, write_json
from qgait.errors import ParityError, QgaitError
from qgait.models import checkpoint
from qgait.models.registry import BACKBONES, build

COMMAND = "import sys; from qgait.cli import run; sys.exit(run())"
CLONE = Path(__file__).resolve().parents[1]
DIGESTS = "digests.json"
TARGETS = ("host", "arm", "arm64-v8", "cortex-m55", "ethos-u55-128")
SIGNATURE = ("versions", "files", "checksum")  # of a manifest
WALKS = "walks"
AR_MAGIC, AR_HEADER = 8, 60  # bytes in front of an archive and of each of its members

Digests = dict[str, dict[str, str]]  # by network, then by artefact


def qgait(tree: Path, folder: Path, *words: str) -> None:
    """One command of the ``tree``, in ``folder``. QgaitError when it fails."""
    # sums of floats depend on the number of threads
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    started = [sys.executable, "-c", COMMAND, *words]
    done = subprocess.run(started, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise QgaitError(f"qgait {' '.join(words)} failed: {' '.join(said[-2:])}", f"run it by hand in {folder}.")


def make(name: str, bits: str, folder: Path, tree: Path) -> None:
    """The checkpoint, the quantized model, its ONNX file and all bundles of one network, in the new ``folder``."""
    torch.manual_seed(0)
    checkpoint.save(build(name, **narrow(name, {})), folder / "float.pt")
    asked = ["--checkpoint", "float.pt", "--data", f"../{WALKS}", "--bits", bits]
    qgait(tree, folder, "calibrate", *asked, "--out", "model.safetensors")
    qgait(tree, folder, "export", "model.safetensors", "--out", "model.onnx")
    for target in TARGETS:
        qgait(tree, folder, "compile", "model.onnx", "--target", target, "--out", target)


def digests_of(folder: Path) -> dict[str, str]:
    """The digest of every artefact in the folder of a network."""
    found = {}
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        name, content = file.relative_to(folder).as_posix(), file.read_bytes()
        if file.name == "manifest.json":
            entries = {key: value for key, value in json.loads(content).items() if key not in SIGNATURE}
            content = json.dumps(entries).encode()
        found[name] = hashlib.sha256(content).hexdigest()
        if file.suffix == ".a":
            found |= {f"{name}({member})": hashlib.sha256(data).hexdigest() for member, data in members(content)}
            found[f"{name}, linked"] = hashlib.sha256(linked(file)).hexdigest()
    return found


def members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the files in an archive in GNU's format, its table of symbols among them."""
    at = AR_MAGIC
    while at < len(archive):
        header, at = archive[at : at + AR_HEADER], at + AR_HEADER
        size = int(header[48:58])
        yield header[:16].decode().strip().rstrip("/") or "symbols", archive[at : at + size]
        at += size + size % 2


def linked(archive: Path) -> bytes:
    """All members as one program without debug information and local names; what they lack stays undefined."""
    flags = ["-static", "-e", "0", "--strip-debug", "--discard-all", "--unresolved-symbols=ignore-all"]
    with tempfile.TemporaryDirectory(prefix="qgait-") as folder:
        out = Path(folder) / "linked"
        command = [sys.executable, "-m", "ziglang", "ld.lld", *flags, "--whole-archive", str(archive), "-o", str(out)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise QgaitError(f"{archive} cannot be linked: {done.stderr.strip()}", "look at its members.")
        return out.read_bytes()


def read(path: Path) -> Digests:
    """The digests of another run: its folder or its digests.json."""
    file = path / DIGESTS if path.is_dir() else path
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise QgaitError(f"{file} has no digests: {why}.", "name the folder of another run.") from None
    if not isinstance(found, dict) or WALKS not in found:
        raise QgaitError(f"{file} has no digests.", "name the folder of another run.")
    return found


def kind(artefact: str) -> str:
    """What is counted together: of all targets, and of all files of one type in selftest/ and npu/."""
    first, _, rest = artefact.partition("/")
    folder, slash, file = (rest if first in TARGETS else artefact).rpartition("/")
    return f"{folder}/*{Path(file).suffix}" if slash else file


def compare(made: Digests, other: Digests, against: Path) -> None:
    """Prints equal and different artefacts by kind, and the name of each that differs. ParityError when any does."""
    counts: dict[str, Counter[str]] = {}
    wrong = []
    for network in made:
        here, there = made[network], other[network]
        for name in here | there:
            equal = here.get(name) == there.get(name)
            counts.setdefault(kind(name), Counter())["equal" if equal else "different"] += 1
            if not equal:
                only = "" if name in here and name in there else f", only {'here' if name in here else 'there'}"
                wrong.append(f"{network}/{name}{only}")
    rows = [(name, count["equal"], count["different"]) for name, count in counts.items()]
    table(f"Artefacts of {len(made) - 1} networks against {against}", ("artefact", "equal", "different"), rows)
    for name in wrong:
        print(f"different: {name}")
    if wrong:
        raise ParityError(f"{len(wrong)} of {sum(map(Counter.total, counts.values()))} artefacts differ.")


def main(arguments: argparse.Namespace) -> None:
    """Makes, digests and compares. ParityError when an artefact differs."""
    for name in arguments.backbones:
        if name not in BACKBONES:
            raise QgaitError(f"There is no backbone called {name!r}.", f"choose one of {', '.join(BACKBONES)}.")
    folder, tree = arguments.folder.absolute(), arguments.tree.absolute()
    if not (tree / "qgait" / "cli.py").is_file():
        raise QgaitError(f"{arguments.tree} has no qgait/cli.py.", "name a checkout of qgait.")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise QgaitError(f"{arguments.folder} is not empty.", "name a new or empty folder.")
    networks = {f"{name}-{bits}": (name, bits) for name in arguments.backbones or BACKBONES for bits in BITS}
    other = read(arguments.against) if arguments.against else {}
    lacking = [name for name in networks if arguments.against and name not in other]
    if lacking:
        raise QgaitError(f"{arguments.against} has no digests of {lacking[0]}.", "name the backbones that it has.")
    folder.mkdir(parents=True, exist_ok=True)
    qgait(tree, folder, "data", "synth", WALKS, "--subjects", "2", "--frames", "30")
    walks = [file.read_bytes() for file in sorted((folder / WALKS).rglob("*.pkl"))]
    made: Digests = {WALKS: {"silhouettes": hashlib.sha256(b"".join(walks)).hexdigest()}}
    for label, (name, bits) in networks.items():
        since = time.monotonic()
        (folder / label).mkdir()
        make(name, bits, folder / label, tree)
        made[label] = digests_of(folder / label)
        write_json(folder / DIGESTS, made)
        print(f"{label}: {len(made[label])} digests, {time.monotonic() - since:.0f} s", file=sys.stderr, flush=True)
    if arguments.against:
        compare(made, other, arguments.against)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("folder", metavar="FOLDER", type=Path, help="what is made goes there; new or empty")
    made.add_argument("backbones", nargs="*", metavar="BACKBONE", help="all unless some are named")
    made.add_argument("--tree", type=Path, default=CLONE, help="the checkout whose qgait makes them; else this clone")
    made.add_argument("--against", type=Path, metavar="OTHER", help="folder or digests.json of another run")
    return made


def run(words: list[str] | None = None) -> int:
    """The exit code of one command line."""
    return exit_code(main, parser(), words)


if __name__ == "__main__":
    sys.exit(run())
