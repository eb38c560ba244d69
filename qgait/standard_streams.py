"""Standard output and standard error of a command: a lost reader or a full disk is told apart from other failures."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from qgait.errors import QgaitError, os_reason

BROKEN_PIPE = 141  # what a shell tells of a program that SIGPIPE ended


class OutputLostError(Exception):
    """Nobody reads standard output any more, as behind ``| head``. No OSError, which click and rich would act on."""


class _Output(io.FileIO):
    """Standard output as it is."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            _discard(self.fileno())
            raise OutputLostError from None
        except OSError as error:
            _discard(self.fileno())
            raise QgaitError(
                f"Standard output cannot be written: {os_reason(error)}.", "send it somewhere else."
            ) from None


class _Remarks(io.FileIO):
    """Standard error, where remarks that cannot be written are dropped: there is nowhere to tell it."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def printable(text: str) -> str:
    """``text`` without what a terminal would act on, such as the escape sequences in a file's name; lines stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def open_streams() -> None:
    """Puts both in place of Python's own, with characters that the terminal does not have as escapes.

    Closed ones are opened on /dev/null, or the next file that is opened would get the program's output; of standard
    output that is an error, QgaitError.
    """
    closed = []
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            closed.append(descriptor)
            _discard(descriptor)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = _text(sys.stderr, _Remarks(2, "wb", closefd=False))
    sys.stdout = _text(sys.stdout, _Output(1, "wb", closefd=False))
    if 1 in closed:
        raise QgaitError("Standard output is closed.", "leave it open, or send it to /dev/null.")


def _text(was: Any, raw: io.FileIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=was.encoding if was else "utf-8",
        errors="backslashreplace",
        line_buffering=was.line_buffering if was else True,
        write_through=was.write_through if was else False,
    )


def _discard(descriptor: int) -> None:
    """/dev/null in place of ``descriptor``, so that what is still to come is dropped in silence."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
