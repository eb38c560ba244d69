"""The self-test of a bundle where this machine can run it, as facts."""

from __future__ import annotations

from dataclasses import dataclass

from qgait.errors import QgaitError
from qgait.runtime.bundle import Bundle
from qgait.runtime.compiled import selftest, start

STACK = "stack: "  # what the line begins with on which a bare-metal program tells the bytes of stack that it took


@dataclass(frozen=True)
class SelfTest:
    """It passed, in an emulator or on this machine itself; or ``why_not`` says why it could not be run here.

    ``stack_bytes``: what it took of the stack, where the program counts that.
    """

    emulated: bool = False
    stack_bytes: int | None = None
    why_not: QgaitError | None = None

    def __str__(self) -> str:
        if self.why_not is not None:
            return "not run"
        return "passed under QEMU" if self.emulated else "passed"


def run_selftest(bundle: Bundle) -> SelfTest:
    """Runs it. ParityError with the first difference if it fails."""
    try:
        emulator = start(bundle)
    except QgaitError as error:
        return SelfTest(why_not=error)
    lines = selftest(bundle).splitlines()
    stack = next((line.removeprefix(STACK) for line in lines if line.startswith(STACK)), None)
    return SelfTest(bool(emulator), None if stack is None else int(stack.removesuffix(" bytes")))
