"""What the interpreter says no to: it raises rather than guess."""

from __future__ import annotations

from qgait.errors import QgaitError


def not_modelled(what: str) -> QgaitError:
    """The stream uses something that has no reading here; ``what`` names the register or operation."""
    return QgaitError(
        f"The command stream has {what}, which the interpreter of Ethos-U does not model.",
        "use the runtime tosa for this network; docs/npu.md lists what is modelled.",
    )


def broken(what: str) -> QgaitError:
    """The stream does what makes no sense on any device, such as reading memory that nothing was written to."""
    return QgaitError(f"The command stream {what}.", "compile the network again; the stream was altered.")
