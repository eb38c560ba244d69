"""What a value from outside looks like in a sentence: short, without first writing all of it down."""

from __future__ import annotations

import reprlib

LONGEST = 60
_BITS = 160  # of a whole number; Python refuses to write down one of thousands of digits


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = 6
        self.maxstring = self.maxother = LONGEST

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() < _BITS else f"a number of about {x.bit_length() * 3 // 10} digits"


def shown(value: object) -> str:
    """``value`` as Python writes it, cut where that takes more than 60 characters."""
    text = _Short().repr(value)
    return text if len(text) < LONGEST else f"{text[:LONGEST]}..."


def short(text: str, longest: int = LONGEST) -> str:
    """``text`` on one line without its control characters, cut where it is longer than ``longest``."""
    head = "".join(c if c.isprintable() else " " for c in text[:longest])
    return head if len(text) <= longest else f"{head}..."
