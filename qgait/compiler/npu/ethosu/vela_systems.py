"""The systems that Vela knows: clocks and memories around an NPU, and what it keeps in which of them."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from importlib.util import find_spec
from pathlib import Path

from qgait.compiler.npu.ethosu.vela import VelaOptions, check_version
from qgait.errors import QgaitError
from qgait.reading import MIB, read_text
from qgait.targets.accelerators import NpuTarget

FIX = "give an .ini as Vela reads it."
SYSTEM, MODE = "System_Config.", "Memory_Mode."


def checked(options: VelaOptions, accelerator: NpuTarget) -> VelaOptions:
    """``options``; QgaitError with the names that there are when one of them is in no configuration file."""
    configuration = _configuration(options.config)
    own = [] if options.config is None else _read([options.config]).sections()
    family = f"Ethos_{accelerator.family.upper()}_"
    systems = [name for name in _names(configuration, SYSTEM) if name.startswith(family) or SYSTEM + name in own]
    for option, given, known in (
        ("system_config", options.system_config, systems),
        ("memory_mode", options.memory_mode, _names(configuration, MODE)),
    ):
        if given is not None and given not in known:
            near = difflib.get_close_matches(given, known, n=1, cutoff=0.0)[0]
            raise QgaitError(
                f"`{option}={given}` is not known for {accelerator.name}.",
                f"did you mean {near}? There are {', '.join(known)}.",
            )
    system = options.system_config or accelerator.system_config
    mode = options.memory_mode or accelerator.memory_mode
    behind = _value(configuration, SYSTEM + system, "axi1_port")
    if not arena_in_sram(mode, options.config) and behind != "Dram":
        raise QgaitError(
            f"`memory_mode={mode}` keeps tensors behind the second port, and {system} has no DRAM there.",
            "choose Shared_Sram, or a `system_config` with DRAM.",
        )
    return options


def arena_in_sram(mode: str, config: Path | None = None) -> bool:
    """Whether the tensors between layers lie in the same SRAM as everything else; else a part of it is a cache."""
    areas = (_value(_configuration(config), MODE + mode, f"{what}_mem_area") for what in ("arena", "cache"))
    return len(set(areas)) == 1


def _names(configuration: ConfigParser, prefix: str) -> list[str]:
    return [section.removeprefix(prefix) for section in configuration.sections() if section.startswith(prefix)]


def _value(configuration: ConfigParser, section: str, key: str) -> str:
    """A key of a section, or of the one that it inherits from."""
    at = section
    for _ in configuration.sections():  # whoever inherits from himself has asked for it as often
        if not configuration.has_section(at):
            raise QgaitError(f"[{at}] is in no configuration of Vela.", "complete the file of `vela_config`.")
        if key in configuration[at] or "inherit" not in configuration[at]:
            break
        at = configuration[at]["inherit"]
    if key not in configuration[at]:
        raise QgaitError(f"[{section}] has no {key}.", "complete the file of `vela_config`.")
    return configuration[at][key]


@functools.cache
def _configuration(config: Path | None) -> ConfigParser:
    """Vela's own file, and over it ``config``."""
    check_version()
    package = find_spec("ethosu.vela")
    assert package is not None and package.origin is not None
    own = Path(package.origin).parents[1] / "config_files" / "Arm" / "vela.ini"
    return _read([own] if config is None else [own, config])


def _read(files: Sequence[Path]) -> ConfigParser:
    configuration = ConfigParser()
    for file in files:
        text = read_text(file, MIB, FIX)
        try:
            configuration.read_string(text, str(file))
        except ConfigParserError as error:
            said = str(error).splitlines()[0].rstrip(".")
            raise QgaitError(f"{file} is not a configuration of Vela: {said}.", FIX) from None
    return configuration
