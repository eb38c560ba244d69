"""Every command of the command line, groups resolved."""

from __future__ import annotations

import click


def leaves(command: click.Command, name: str = "") -> dict[str, click.Command]:
    """The commands by what is typed, such as "data synth"."""
    if isinstance(command, click.Group):
        return {k: v for each in command.commands for k, v in leaves(command.commands[each], f"{name} {each}").items()}
    return {name.strip(): command}
