"""How commands talk: one table, a progress line, the same facts as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from qgait.files import replace_file
from qgait.progress import Progress
from qgait.standard_streams import printable

STANDARD_OUTPUT = Path("-")


class PlainConsole(Console):
    """Shows text as it is: no markup, no emoji, no escape sequences, whatever a file is called."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, stderr=stderr)

    def print(self, *objects: Any, **how: Any) -> None:
        """See rich."""
        super().print(*(printable(each) if isinstance(each, str) else each for each in objects), **how)


console = PlainConsole()
notes = PlainConsole(stderr=True)  # progress and remarks stay out of what is piped


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Prints one table; the first column is text, the others are numbers."""
    console.print(title, style="bold", soft_wrap=True)  # a Table wraps its title to its own width
    result = Table()
    for i, column in enumerate(columns):
        result.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        result.add_row(*(printable(str(cell)) for cell in row))
    console.print(result)


def write_json(path: Path | None, facts: dict[str, Any]) -> None:
    """Writes ``facts`` to ``path`` in one move, or to standard output for ``-``, when a path was given."""
    text = json.dumps(facts, indent=1)
    if path == STANDARD_OUTPUT:
        print(text, flush=True)
    elif path is not None:
        replace_file(path, (text + "\n").encode())


@contextmanager
def progress() -> Iterator[Progress]:
    """``report(what, done, total)`` moves one bar a kind of work."""
    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=notes,
        transient=True,
        disable=not notes.is_terminal,  # a log file wants no bars
    )
    tasks: dict[str, Any] = {}
    with bars:

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield report
