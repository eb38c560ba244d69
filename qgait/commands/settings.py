"""Library errors name settings, `like_this` or `like=this`; on the command line they are options."""

from __future__ import annotations

import functools
import re
from typing import Any

import click

from qgait.errors import QgaitError

SETTING = re.compile(r"`([a-z_]+(?:\.[a-z_]+)*)(?:=([^`]*))?`")


def speaking_options(command: click.Command) -> click.Command:
    """``command``, and those below it, with errors that name options."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            speaking_options(each)
        return command
    work = command.callback
    assert work is not None

    @functools.wraps(work)
    def translated(*arguments: Any, **options: Any) -> Any:
        for name, value in options.items():
            if any("\0" in str(each) for each in (value if isinstance(value, tuple) else (value,))):
                raise QgaitError(as_options(f"`{name}` has a NUL in it.", command), "leave it out.")
        try:
            return work(*arguments, **options)
        except QgaitError as error:
            raise QgaitError(as_options(error.problem, command), as_options(error.fix, command)) from error

    command.callback = translated
    return command


def as_options(text: str, command: click.Command) -> str:
    """``text`` with every setting that ``command`` has an option for as that option; the others stay."""
    found = [option for option in command.params if isinstance(option, click.Option)]
    options = {option.opts[-1].strip("-").replace("-", "_"): option.opts[-1] for option in found}

    def option(setting: re.Match[str]) -> str:
        name, value = setting[1], setting[2]
        if "." in name and "set" in options:  # a key of the configuration
            return name if value is None else f"{options['set']} {name}={value}"
        if f"no_{name}" in options:
            return options[f"no_{name}"]
        if name not in options:
            return setting[0]
        given = options[name]
        return given if value in (None, "True") else f"{given} {value}"

    return SETTING.sub(option, text)
