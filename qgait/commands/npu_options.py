"""The options of ``qgait compile`` that belong to Ethos-U targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from qgait.commands.paths import InputPath

Command = Callable[..., Any]

OPTIONS = (
    click.option("--system-config", help="Ethos-U: clock and memories, a System_Config of Vela's vela.ini."),
    click.option("--memory-mode", help="Ethos-U: what lies in which memory, a Memory_Mode of Vela's vela.ini."),
    click.option(
        "--vela-config",
        metavar="FILE",
        type=InputPath(),
        help="Ethos-U: a vela.ini with more of both, such as that of the board's vendor.",
    ),
    click.option("--sram", metavar="BYTES", help="Ethos-U: the most SRAM that a command stream may use, as 512k."),
    click.option("--no-host-fallback", is_flag=True, help="Ethos-U: refuse a network that does not run wholly on it."),
    click.option("--host", metavar="CORE", help="Ethos-U: the processor beside it, of `qgait targets`."),
)


def npu_options(command: Command) -> Command:
    """Adds the options to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
