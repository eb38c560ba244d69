"""The self-test of a bundle: clips, their embeddings by the reference, and the program that compares them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from qgait.errors import ParityError, QgaitError
from qgait.runtime.bundle import Bundle
from qgait.runtime.programs import invocation, reason, start


@dataclass(frozen=True)
class SelfTest:
    """A self-test that passed: ``codes`` embedding codes of ``clips`` were compared.

    ``emulated``: under QEMU, not on this processor. ``stack_bytes`` is the stack that it took, where the program counts
    it (without an operating system); None elsewhere.
    """

    clips: int
    codes: int
    emulated: bool
    stack_bytes: int | None

    def __str__(self) -> str:
        return "passed under QEMU" if self.emulated else "passed"


def selftest(bundle: Bundle) -> SelfTest:
    """Runs the self-test of ``bundle`` on this machine or under QEMU.

    ParityError with the first difference if there is one, QgaitError if the program cannot run here.
    """
    emulated = bool(start(bundle))
    command = invocation(bundle, bundle.gait_run, "selftest")
    done = subprocess.run(command, capture_output=True, text=True, cwd=bundle.path)
    if done.returncode == 1:
        raise ParityError(f"The self-test of {bundle.path} failed: {first_difference(done.stdout)}")
    if done.returncode != 0:
        raise QgaitError(
            f"The self-test of {bundle.path} could not run: {reason(done.returncode, done.stderr.encode())}",
            "compile the bundle for this processor (`qgait targets`).",
        )
    clips = len(bundle.manifest["selftest"]["frames"])
    parts, channels = bundle.embedding_shape
    stack = re.search(r"^stack: (\d+) bytes$", done.stdout, re.MULTILINE)  # of system_semihosting.c
    return SelfTest(clips, clips * parts * channels, emulated, None if stack is None else int(stack[1]))


def first_difference(printed: str) -> str:
    """The first line of a self-test that reports no success, or nothing."""
    return next((line for line in printed.splitlines() if not line.endswith("codes are equal")), "")
