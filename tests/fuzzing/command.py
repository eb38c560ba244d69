"""One command line in a process of its own, within limits, and whether it ended as every command has to.

The process is a fork of one that has imported everything, so that a case takes a tenth of a second.
"""

from __future__ import annotations

import faulthandler
import os
import re
import resource
import select
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SECONDS = 10  # of processor time
WAIT = 60  # seconds by the clock, on a machine that has other work
MEGABYTES = 500  # beyond what the process had when it began
LOOK = 0.02  # seconds between two looks at the memory
LONGEST = 700  # characters of a sentence with its fix and the names of files in it
CODES = (0, 1, 2, 130)
PYTHON = ("Traceback", "Error(", "object at 0x", "NoneType", "<class", "msgspec", "Exception ignored", "dtype('")


@dataclass(frozen=True)
class Outcome:
    """How a command ended, after ``seconds`` of processor time; ``changed`` are files that it wrote or removed."""

    code: int
    said: str
    seconds: float
    megabytes: float
    changed: tuple[str, ...]

    def complaints(self, may_write: tuple[str, ...] = ()) -> list[str]:
        """What is wrong with it; nothing for a good end."""
        wrong = []
        if self.code not in CODES:
            wrong.append(
                f"exit code {self.code}" if self.code >= 0 else f"stopped by {signal.Signals(-self.code).name}"
            )
        found = [word for word in PYTHON if word in self.said]
        if found:
            wrong.append(f"it says {found[0]!r}")
        lines = [line for line in self.said.splitlines() if line.startswith(("qgait: ", "Error: "))]
        if self.code in (1, 2) and len(lines) != 1:
            wrong.append(f"{len(lines)} sentences instead of one")
        if any(len(line) > LONGEST for line in lines):
            wrong.append(f"a sentence of {max(map(len, lines))} characters")
        if self.seconds > SECONDS:
            wrong.append(f"{self.seconds:.0f} seconds")
        if self.megabytes > MEGABYTES:
            wrong.append(f"{self.megabytes:.0f} MB")
        strange = [name for name in self.changed if not name.startswith(may_write)] if may_write else self.changed
        if strange:
            wrong.append(f"it changed {strange[0]!r}")
        return wrong


def execute(words: list[str], folder: Path) -> Outcome:
    """`qgait` with ``words``, run in ``folder``."""
    before = snapshot(folder)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _become(words, folder, write)
    os.close(write)
    said, late, megabytes = _listen(read, child)
    _, status, usage = os.wait4(child, 0)
    code = -signal.SIGALRM if late else os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    return Outcome(code, said, seconds, megabytes, differences(before, snapshot(folder)))


def _become(words: list[str], folder: Path, write: int) -> None:
    """The child: never returns."""
    code = 70
    try:
        faulthandler.disable()  # what a crash says is its signal
        os.setsid()
        os.chdir(folder)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(write, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        from qgait.cli import run

        code = run(words)
        sys.stdout.flush()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 70
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _listen(pipe: int, child: int) -> tuple[str, bool, float]:
    """What the child says until it ends: (text, whether it had to be stopped, megabytes that it took)."""
    content, end = bytearray(), time.monotonic() + WAIT
    began = most = _megabytes(child)
    while True:
        ready, _, _ = select.select([pipe], [], [], LOOK)
        most = max(most, _megabytes(child))
        late = time.monotonic() > end
        if late:
            os.kill(child, signal.SIGKILL)
        piece = os.read(pipe, 1 << 16) if ready and not late else b"-"
        if not piece or late:
            break
        if ready:
            content += piece[: max(0, (1 << 20) - len(content))]
    os.close(pipe)
    return content.decode(errors="replace"), late, most - began


def _megabytes(process: int) -> float:
    """Memory of its own that a process has, without files that are mapped; 0 when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Kind, size and time of everything in ``folder``, links not followed."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            facts = (Path(place) / name).lstat()
            is_folder = name in folders
            times = (0, 0) if is_folder else (facts.st_size, facts.st_mtime_ns)
            found[os.path.relpath(f"{place}/{name}", folder)] = (facts.st_mode, *times)
    return found


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    """Names that came, went or changed."""
    return tuple(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)))
