"""Measuring on a board that ssh reaches: copy, self-test, benchmark, bring the figures back, clean up.

The board needs a shell, mktemp, tar and rm, which BusyBox has; nothing is installed there.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

from qgait.errors import ParityError, QgaitError
from qgait.files import work_folder
from qgait.runtime.bundle import Bundle
from qgait.runtime.selftest import first_difference

SSH_FAILED = 255  # ssh's own exit code; others are those of the command


@dataclass(frozen=True)
class Board:
    """Where ssh goes: ``destination`` is user@host or host; ``port`` None is ssh's own choice."""

    destination: str
    port: int | None

    @staticmethod
    def parse(url: str) -> Board:
        """ssh://[user@]host[:port]; QgaitError for anything else."""
        wrong = QgaitError(f"'{url}' is not an address of a board.", "write ssh://user@host or ssh://user@host:port.")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise wrong from None
        user, host = parts.username, parts.hostname
        plain = re.compile(r"[A-Za-z0-9_][\w.:%-]*", re.ASCII)
        extra = parts.path.strip("/") or parts.query or parts.fragment or parts.password
        if parts.scheme != "ssh" or extra or not host or not plain.fullmatch(host):
            raise wrong
        if user is not None and not plain.fullmatch(user):
            raise wrong
        return Board(f"{user}@{host}" if user else host, port)

    def run(self, command: str, stdin: IO[bytes] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a shell command on the board. QgaitError when ssh itself fails."""
        ssh = shutil.which("ssh")
        if ssh is None:
            raise QgaitError("ssh is not installed.", "apt install openssh-client.")
        port = [] if self.port is None else ["-p", str(self.port)]
        done = subprocess.run(
            [ssh, *port, self.destination, command],
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode == SSH_FAILED:
            said = (done.stderr.strip() or "no message").splitlines()[-1]
            raise QgaitError(f"ssh to {self.destination} failed: {said}", f"try: ssh {self.destination}")
        return done


def bench(bundle: Bundle, url: str, options: Sequence[str] = ()) -> str:
    """What ``gait-run bench --json`` prints on the board at ``url``, after the self-test passed there.

    Only gait-run and the self-test are copied, into a temporary folder that is removed in the end.
    """
    board = Board.parse(url)
    made = board.run('mktemp -d "${TMPDIR:-/tmp}/qgait-XXXXXX"')
    folder = made.stdout.strip()
    if made.returncode != 0 or not re.fullmatch(r"/[\w./-]+", folder):
        raise QgaitError(f"{board.destination} could not make a temporary folder: {made.stderr.strip()}", "look there.")
    place = shlex.quote(folder)
    try:
        _copy(bundle, board, place)
        program = f"{place}/{bundle.gait_run.name}"
        tested = board.run(f"{program} selftest")
        if tested.returncode == 1:
            first = first_difference(tested.stdout)
            raise ParityError(f"The self-test failed on {board.destination}, so nothing was measured: {first}")
        if tested.returncode != 0:
            said = (tested.stderr.strip() or f"exit code {tested.returncode}").splitlines()[-1]
            raise QgaitError(
                f"{board.destination} cannot run code for {bundle.target.name}: {said}",
                "compile for the processor of that board; `qgait targets` lists them.",
            )
        words = " ".join(shlex.quote(option) for option in ("bench", "--json", *options))
        measured = board.run(f"{program} {words}")
        if measured.returncode != 0:
            raise QgaitError(
                f"{bundle.gait_run.name} bench failed there: {measured.stderr.strip()}",
                f"see {bundle.gait_run.name} --help.",
            )
        return measured.stdout
    finally:
        board.run(f"rm -rf {place}")


def _copy(bundle: Bundle, board: Board, place: str) -> None:
    with work_folder() as work, (work / "bundle.tar").open("w+b") as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(bundle.gait_run, bundle.gait_run.name)
            tar.add(bundle.path / "selftest", "selftest")
        archive.seek(0)
        copied = board.run(f"tar -xf - -C {place}", archive)
    if copied.returncode != 0:
        raise QgaitError(
            f"The bundle could not be copied to {board.destination}: {copied.stderr.strip()}", "look there."
        )
