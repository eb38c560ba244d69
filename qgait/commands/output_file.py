"""Files that commands write: checked while the command line is read, before any work is done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from qgait.commands.output import STANDARD_OUTPUT, console
from qgait.errors import QgaitError


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
        folder = path.parent
        if self.suffix is not None and path.suffix != self.suffix:
            raise QgaitError(f"{path} does not end in {self.suffix}.", f"name the output something{self.suffix}.")
        if path.is_dir():
            raise QgaitError(f"{path} is a folder.", "name the file to write.")
        if not folder.is_dir():
            raise QgaitError(f"{path} cannot be written: there is no folder {folder}.", "make it, or check the path.")
        if not os.access(folder, os.W_OK):
            raise QgaitError(f"{path} cannot be written: {folder} is write-protected.", "choose another folder.")
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
