"""Options that name an amount of memory."""

from __future__ import annotations

from qgait.errors import QgaitError


def option_bytes(option: str, text: str | None) -> int | None:
    """The bytes that an option names; None where it was not given, QgaitError with its name when it is no amount."""
    if text is None:
        return None
    from qgait.targets.memory import amount

    try:
        return amount(text)
    except QgaitError as error:
        raise QgaitError(f"{option} {error.problem}", error.fix) from None
