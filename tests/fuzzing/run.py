"""Fuzzing of every reader and every option, for as long as one wants: `make fuzz MINUTES=10`.

    python tests/fuzzing/run.py --minutes 10 --seed 3

Each case is a command line in a process of its own. It has to end with exit code 0, 1, 2 or 130, with one sentence
where it fails, within the limits of command.py, and without changing a file that it was not told to write. What does
not is written to the folder fuzz-failures: `python tests/fuzzing/run.py --again FILE` runs one of them again; moved to
tests/fuzzing/corpus it is a test.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzzing.command import execute
from fuzzing.files import FAMILIES, Case, lay_out
from fuzzing.material import Material, make
from fuzzing.options import command_lines, writes_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.database import InMemoryExampleDatabase

FAILURES = Path("fuzz-failures")
AT_ONCE = 25  # command lines that hypothesis draws between two looks at the clock


def tried(material: Material, case: Case) -> list[str]:
    """What is wrong with how ``case`` ends; nothing for a good end."""
    with tempfile.TemporaryDirectory(prefix="qgait-fuzz-") as work:
        folder = Path(work) / "case"
        shutil.copytree(material.folder, folder, copy_function=os.link)
        os.mkfifo(folder / "pipe")
        (folder / "loop").symlink_to("loop")
        if case.name:
            lay_out(case, folder)
        return execute(list(case.words), folder).complaints(case.writes)


def stored(case: Case, why: list[str]) -> dict[str, object]:
    """``case`` as JSON."""
    content = base64.b64encode(case.content).decode()
    return {"why": why, "words": list(case.words), "name": case.name, "content": content, "writes": case.writes}


def read(file: Path) -> Case:
    """The case in a file that ``stored`` made."""
    told = json.loads(file.read_text())
    return Case(tuple(told["words"]), told["name"], base64.b64decode(told["content"]), tuple(told["writes"]))


class Fuzzer:
    """Tries cases and keeps those that end badly."""

    def __init__(self, material: Material, failures: Path) -> None:
        self.material, self.failures = material, failures
        self.tried: Counter[str] = Counter()
        self.bad: list[str] = []

    def try_file(self, family: str, number: int) -> None:
        """Case ``number`` of a family of damaged files."""
        self._try(family, FAMILIES[family](self.material, number))

    def try_options(self, number: int, count: int) -> None:
        """``count`` command lines that hypothesis draws."""

        @seeded(number)
        @settings(
            max_examples=count,
            deadline=None,
            database=InMemoryExampleDatabase(),
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(command_lines())
        def one(words: list[str]) -> None:
            self._try("options", Case(tuple(words), "", b"", writes_of(words)))

        one()

    def _try(self, family: str, case: Case) -> None:
        self.tried[family] += 1
        why = tried(self.material, case)
        if why:
            text = json.dumps(stored(case, why), indent=1)
            name = f"{family.replace(' ', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
            self.failures.mkdir(exist_ok=True)
            (self.failures / name).write_text(text)
            self.bad.append(f"{name}: {'; '.join(why)}: qgait {' '.join(map(ascii, case.words))[:200]}")
            print(self.bad[-1], file=sys.stderr, flush=True)


def main(arguments: argparse.Namespace) -> int:
    """The exit code: 1 when a case ended badly."""
    with tempfile.TemporaryDirectory(prefix="qgait-fuzz-") as folder:
        material = make(Path(folder))
        if arguments.again is not None:
            why = tried(material, read(arguments.again))
            print("; ".join(why) or "it ends well")
            return 1 if why else 0
        fuzzer = Fuzzer(material, FAILURES)
        end = time.monotonic() + 60 * arguments.minutes
        rng = random.Random(arguments.seed)
        while time.monotonic() < end:
            for family in FAMILIES:
                if time.monotonic() < end:
                    fuzzer.try_file(family, rng.getrandbits(48))
            if fuzzer.tried["options"] * len(FAMILIES) <= fuzzer.tried.total():
                fuzzer.try_options(rng.getrandbits(32), AT_ONCE)
        for family, count in sorted(fuzzer.tried.items()):
            print(f"{family}: {count:,}")
        print(f"{len(fuzzer.bad)} of {fuzzer.tried.total():,} cases ended badly.")
        return 1 if fuzzer.bad else 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--minutes", type=float, default=10)
    made.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    made.add_argument("--again", type=Path, metavar="FILE", help="one case that ended badly")
    return made


if __name__ == "__main__":
    given_words = parser().parse_args()
    print(f"seed {given_words.seed}", flush=True)
    sys.exit(main(given_words))
