"""What a run leaves for plots: ``log.csv`` with a row an iteration, and TensorBoard's events."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from qgait.errors import QgaitError
from qgait.files import check_file, replace_file

LOG = "log.csv"
LONGEST_ROW = 1 << 16  # bytes; a file of one line is no log
EVENTS_EVERY = 10  # iterations: TensorBoard shows no more, and its files are large

Row = dict[str, float]


class RowMissingError(ValueError):
    """The log has no whole row of an iteration."""


class RunLog:
    """The log of a run after ``done`` iterations; rows of later ones, which its checkpoint does not know, are dropped.

    A row is on its way to the disk before ``write`` returns, so a checkpoint written after it never has more
    iterations than the log. Raises QgaitError when the folder cannot be written to or the log lacks iterations.
    """

    def __init__(self, folder: Path, done: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._path = folder / LOG
        self._columns: list[str] = []
        self._last: Row = {}
        self._last_start = 0
        with self._written():
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._continue(done)
            self._events = SummaryWriter(str(folder), purge_step=done + 1)

    @property
    def last(self) -> Row:
        """The last row, empty before the first."""
        return self._last

    def write(self, row: Row) -> None:
        """Adds a row, which begins with ``iteration``."""
        with self._written():
            if not set(row) <= set(self._columns):
                self._widen(row)
            self._last = row
            self._last_start = self._file.seek(0, io.SEEK_END)
            self._put_last()
            if int(row["iteration"]) % EVENTS_EVERY == 0:
                self._show(row)

    def amend(self, figures: Mapping[str, float]) -> None:
        """Adds ``figures`` to the last row. They make it longer, so it is replaced in one write."""
        with self._written():
            if not set(figures) <= set(self._columns):
                self._widen(figures)
            self._last = self._last | dict(figures)
            self._put_last()
            self._show(figures)

    def close(self) -> None:
        """Writes what is still on its way."""
        with self._written():
            self._events.close()
            self._file.close()

    def _continue(self, done: int) -> BinaryIO:
        """The file, open after the row of iteration ``done``."""
        check_file(self._path)
        if done == 0:
            self._path.unlink(missing_ok=True)
            return self._path.open("w+b")
        if not self._path.is_file():
            raise QgaitError(f"There is no {self._path}, which belongs to the run.", "put it back, or begin a new run.")
        file = self._path.open("r+b")
        try:
            self._find(file, done)
        except (ValueError, csv.Error) as error:
            file.close()
            reached = error.args[0] if isinstance(error, RowMissingError) else done
            problem = f"{self._path} has no row of iteration {reached}; the checkpoint is at {done}."
            raise QgaitError(problem, "put back the log that belongs to the run, or begin a new run.") from None
        file.truncate(file.tell())
        return file

    def _find(self, file: BinaryIO, done: int) -> None:
        """Reads up to the end of the row of iteration ``done``; ValueError or csv.Error when a row is not there."""
        self._columns = _cells(file.readline(LONGEST_ROW))
        for iteration in range(1, done + 1):
            self._last_start = file.tell()
            line = file.readline(LONGEST_ROW)
            if not line.endswith(b"\n") or line.split(b",", 1)[0] != str(iteration).encode():
                raise RowMissingError(iteration)
        values = _cells(line)
        self._last = {name: float(text) for name, text in zip(self._columns, values, strict=True) if text}
        self._last["iteration"] = done

    def _put_last(self) -> None:
        self._file.seek(self._last_start)
        self._file.write(_line([_text(self._last.get(name)) for name in self._columns]))
        self._file.flush()

    def _widen(self, row: Mapping[str, float]) -> None:
        """A column for everything in ``row``, empty in the rows so far."""
        new = [name for name in row if name not in self._columns]
        self._columns += new
        self._file.seek(0)
        rows = [line + b"," * len(new) + b"\n" for line in self._file.read().splitlines()[1:]]
        content = b"".join([_line(self._columns), *rows])
        self._file.close()
        replace_file(self._path, content)
        self._file = self._path.open("r+b")
        self._last_start = len(content) - len(rows[-1]) if rows else len(content)

    def _show(self, row: Mapping[str, float]) -> None:
        step = int(self._last["iteration"])
        for name, value in row.items():
            if name != "iteration":
                self._events.add_scalar(name.replace(" ", "/"), value, step)

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = f"{self._path} cannot be written: {error.strerror}."
            raise QgaitError(problem, "free some space, or choose a folder that can be written to.") from error


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _cells(line: bytes) -> list[str]:
    return next(csv.reader([line.decode()]), [])


def _text(value: float | None) -> str:
    return "" if value is None else str(value)
