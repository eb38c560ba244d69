"""Paths on the command line: what is no file or folder is refused while they are read, before any work is done."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import click

from qgait.commands.output import STANDARD_OUTPUT, console
from qgait.errors import QgaitError
from qgait.files import check_file, check_folder, check_new_folder, check_utf_8
from qgait.reading import KINDS, why_not

MISSING = (FileNotFoundError, NotADirectoryError)  # whoever opens it has a better sentence


class InputPath(click.ParamType[Path]):
    """A file or a folder that is read; QgaitError for pipes, devices, sockets, and names that nothing can have."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path, which may still be missing."""
        path = Path(value)
        if str(value) == "":
            raise QgaitError(f"{'A path' if param is None else param.opts[-1]} is empty.", "name a file or a folder.")
        try:
            kind = stat.S_IFMT(path.stat().st_mode)
        except MISSING:
            return path
        except ValueError:
            raise QgaitError(f"{str(path)!a} cannot be read: no file has a NUL in its name.", "check it.") from None
        except OSError as error:
            raise QgaitError(f"{path} cannot be read: {why_not(error)}.", "check the path.") from None
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            raise QgaitError(f"{path} cannot be read: it is {KINDS.get(kind, 'no file')}.", "name a file or a folder.")
        return path


class NameOrFile(click.ParamType[str]):
    """A name that qgait knows, or a file, for which the same holds as for any that is read."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it was typed."""
        InputPath().convert(value, param, ctx)
        return str(value)


class OutputFile(click.ParamType[Path]):
    """A path that a file can be written to; ``suffix`` is what its name must end in."""

    name = "path"

    def __init__(self, suffix: str | None = None, dash: bool = False) -> None:
        self.suffix, self.dash = suffix, dash

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; QgaitError that names it as it was typed when nothing can be written there."""
        path = Path(value)
        if self.dash and path == STANDARD_OUTPUT:
            return path
        if self.suffix is not None and path.suffix != self.suffix:
            raise QgaitError(f"{path} does not end in {self.suffix}.", f"name the output something{self.suffix}.")
        check_file(path)
        check_utf_8(path)
        return path


class OutputFolder(click.ParamType[Path]):
    """A folder that is filled or, ``replaced``, made anew as a whole; it need not be there yet."""

    name = "path"

    def __init__(self, replaced: bool = False) -> None:
        self.replaced = replaced

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; QgaitError that names it when no folder can be there."""
        path = Path(value)
        if str(value) == "":
            raise QgaitError(f"{'A path' if param is None else param.opts[-1]} is empty.", "name a folder.")
        (check_new_folder if self.replaced else check_folder)(path)
        return path


def _divert(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """With ``--json -`` standard output is for the JSON alone, and tables go to standard error."""
    console.stderr = path == STANDARD_OUTPUT
    return path


json_option = click.option(
    "--json",
    "json_file",
    type=OutputFile(dash=True),
    callback=_divert,
    help="Write the same facts as JSON to a file; - is standard output.",
)
