"""The options of ``qgait compile`` that belong to Ethos-U targets."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from qgait.commands.memory_option import option_bytes
from qgait.errors import QgaitError


@dataclass(frozen=True)
class NpuOptions:
    """As they were given; None and False where they were not."""

    system_config: str | None
    memory_mode: str | None
    vela_config: Path | None
    sram: str | None
    no_host_fallback: bool
    host: str | None

    def refuse(self, target: str) -> None:
        """QgaitError when one of them was given for a ``target`` that is no NPU."""
        for name, value in vars(self).items():
            if value:
                option = "--" + name.replace("_", "-")
                raise QgaitError(f"{option} is for Ethos-U targets, and {target} is none.", f"leave {option} out.")

    @property
    def sram_bytes(self) -> int | None:
        """``sram`` as a number of bytes; QgaitError when it is none."""
        return option_bytes("--sram", self.sram)


OPTIONS = (
    click.option("--system-config", help="Ethos-U: clock and memories, a System_Config of Vela's vela.ini."),
    click.option("--memory-mode", help="Ethos-U: what lies in which memory, a Memory_Mode of Vela's vela.ini."),
    click.option(
        "--vela-config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Ethos-U: a vela.ini with more of both, such as that of the board's vendor.",
    ),
    click.option("--sram", metavar="BYTES", help="Ethos-U: the most SRAM that a command stream may use, as 512k."),
    click.option("--no-host-fallback", is_flag=True, help="Ethos-U: refuse a network that does not run wholly on it."),
    click.option("--host", metavar="CORE", help="Ethos-U: the processor beside it, of `qgait targets`."),
)


def npu_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options to a command, which gets them as one ``NpuOptions`` called ``npu``."""

    @functools.wraps(command)
    def with_options(
        system_config: str | None,
        memory_mode: str | None,
        vela_config: Path | None,
        sram: str | None,
        no_host_fallback: bool,
        host: str | None,
        **others: Any,
    ) -> None:
        command(npu=NpuOptions(system_config, memory_mode, vela_config, sram, no_host_fallback, host), **others)

    for option in reversed(OPTIONS):
        with_options = option(with_options)
    return with_options
