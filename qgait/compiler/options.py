"""What may be said about compiling beside the target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qgait.errors import QgaitError
from qgait.runtime.bundle_names import DEFAULT_PREFIX, names_for

if TYPE_CHECKING:
    from qgait.compiler.npu.ethosu.vela import VelaOptions
    from qgait.targets.accelerators import NpuTarget
    from qgait.targets.processors import Target

FOR_NPU = ("system_config", "memory_mode", "vela_config", "sram", "host")


@dataclass(frozen=True)
class CompileOptions:
    """None where the target's own choice holds. Amounts of memory are texts: "4M" (4 MiB), "512k" or bytes.

    The C functions and files of the bundle begin with ``prefix``, a C identifier. ``trace`` adds debug/gait-trace,
    which writes down every kernel's result; it needs a processor with an operating system, or one that is emulated.
    For a Cortex-M ``flash`` and ``ram`` bound code and weights, and the arena. For an Ethos-U: ``system_config`` and
    ``memory_mode`` are names in Vela's vela.ini or in ``vela_config``, ``sram`` bounds what a command stream may use,
    ``host`` is the processor beside it, and without ``host_fallback`` a network that does not run wholly on the NPU is
    refused.
    """

    prefix: str = DEFAULT_PREFIX
    trace: bool = False
    flash: str | None = None
    ram: str | None = None
    system_config: str | None = None
    memory_mode: str | None = None
    vela_config: Path | None = None
    sram: str | None = None
    host_fallback: bool = True
    host: str | None = None

    def check(self, target: str, out: Path) -> None:
        """QgaitError when ``target`` or an option cannot be, or a bundle cannot be written to ``out``."""
        from qgait.compiler.bundle import check_replaceable
        from qgait.targets.accelerators import find_npu

        names_for(self.prefix)
        accelerator = find_npu(target)
        if accelerator is None:
            self.processor(target)
        else:
            self.beside(accelerator)
        check_replaceable(out)

    def processor(self, name: str) -> Target:
        """The processor ``name`` with the memory that is asked for; QgaitError for what only an NPU has."""
        from qgait.targets.fit import with_memory
        from qgait.targets.processors import find

        target = with_memory(find(name), self._bytes("flash"), self._bytes("ram"))
        given = [option for option in FOR_NPU if getattr(self, option) is not None]
        for option in given if self.host_fallback else [*given, "host_fallback=False"]:
            raise QgaitError(f"`{option}` is for Ethos-U targets, and {name} is none.", f"leave `{option}` out.")
        return target

    def beside(self, accelerator: NpuTarget) -> tuple[VelaOptions, Target]:
        """What Vela is told and the core beside the NPU; QgaitError for what only a processor has."""
        from qgait.compiler.npu.ethosu import vela_systems
        from qgait.compiler.npu.ethosu.vela import VelaOptions
        from qgait.targets.processors import find

        if self.flash is not None or self.ram is not None:
            raise QgaitError("`flash` and `ram` are for a Cortex-M alone.", "leave them out, or use `sram`.")
        if self.trace:
            raise QgaitError(
                f"`trace` needs a program, and a bundle for {accelerator.name} is linked into others.",
                "leave `trace` out; verifying the runtime npu names the first layer that differs.",
            )
        if self.host == "host":
            raise QgaitError(
                f"`host=host` is this machine, not the core beside {accelerator.name}.", "name an ARM target."
            )
        _ = self.sram_bytes
        asked = VelaOptions(self.system_config, self.memory_mode, config=self.vela_config)
        return vela_systems.checked(asked, accelerator), find(self.host or accelerator.host)

    @property
    def sram_bytes(self) -> int | None:
        """``sram`` as a number of bytes; QgaitError when it is none."""
        return self._bytes("sram")

    def _bytes(self, option: str) -> int | None:
        from qgait.targets.memory import amount

        text = getattr(self, option)
        try:
            return None if text is None else amount(text)
        except QgaitError as error:
            raise QgaitError(f"`{option}` {error.problem}", error.fix) from None
