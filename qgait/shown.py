"""What a value from outside looks like in a sentence: short, without first writing all of it down."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence

LONGEST = 60
TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "null": "null"}
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


def legible(text: str) -> str:
    """``text`` on one line; what cannot be printed is a question mark."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def short(text: str, longest: int = LONGEST) -> str:
    """``text`` for a sentence: printable, on one line, its middle left out where it is longer than ``longest``."""
    plain = legible(text if len(text) <= 2 * longest else text[:longest] + text[-longest:])
    half = (longest - 3) // 2
    return plain if len(plain) <= longest else f"{plain[:half]}...{plain[-half:]}"


def listed(clauses: Sequence[str], longest: int = 200) -> str:
    """As many ``clauses`` as fit into ``longest`` characters, at least one, and how many more there are."""
    told = [short(clauses[0], longest)]
    for clause in clauses[1:]:
        if sum(map(len, told)) + len(clause) > longest:
            break
        told.append(clause)
    more = len(clauses) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")
