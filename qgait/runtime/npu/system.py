"""The systems that Vela knows: clocks and memories around an NPU, and what it keeps in which of them."""

from __future__ import annotations

import difflib
import functools
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

from qgait.errors import QgaitError
from qgait.runtime.npu.accelerators import NpuTarget
from qgait.runtime.npu.vela import VelaOptions, check_version

SYSTEM, MODE = "System_Config.", "Memory_Mode."


def checked(options: VelaOptions, accelerator: NpuTarget) -> VelaOptions:
    """``options``; QgaitError with the names that there are when one of them is none of vela.ini."""
    family = f"Ethos_{accelerator.family.upper()}_"
    systems = [name for name in _names(SYSTEM) if name.startswith(family)]
    for option, given, known in (
        ("--system-config", options.system_config, systems),
        ("--memory-mode", options.memory_mode, _names(MODE)),
    ):
        if given is not None and given not in known:
            near = difflib.get_close_matches(given, known, n=1, cutoff=0.0)[0]
            raise QgaitError(
                f"{option} {given} is not known for {accelerator.name}.",
                f"did you mean {near}? There are {', '.join(known)}.",
            )
    system = options.system_config or accelerator.system_config
    mode = options.memory_mode or accelerator.memory_mode
    if not arena_in_sram(mode) and _value(SYSTEM + system, "axi1_port") != "Dram":
        raise QgaitError(
            f"--memory-mode {mode} keeps tensors behind the second port, and {system} has no DRAM there.",
            "choose Shared_Sram, or a --system-config with DRAM.",
        )
    return options


def arena_in_sram(mode: str) -> bool:
    """Whether the tensors between layers lie in the same SRAM as everything else; else a part of it is a cache."""
    return _value(MODE + mode, "arena_mem_area") == _value(MODE + mode, "cache_mem_area")


def _names(prefix: str) -> list[str]:
    return [section.removeprefix(prefix) for section in _configuration().sections() if section.startswith(prefix)]


def _value(section: str, key: str) -> str:
    """A key of a section, or of the one that it inherits from."""
    found = _configuration()[section]
    return found[key] if key in found else _value(found["inherit"], key)


@functools.cache
def _configuration() -> ConfigParser:
    check_version()
    package = find_spec("ethosu.vela")
    assert package is not None and package.origin is not None
    configuration = ConfigParser()
    configuration.read(Path(package.origin).parents[1] / "config_files" / "Arm" / "vela.ini")
    return configuration
