"""Numbers on the command line: within bounds, so that nothing hangs or takes all memory, and refused in a sentence."""

from __future__ import annotations

import math
from typing import Any

import click

from qgait.errors import QgaitError

MOST = 10**9  # of anything that is counted: a machine is busy for years with more
SHOWN = 40  # characters of a wrong value


class Whole(click.ParamType[int]):
    """A whole number from ``least`` to ``most``."""

    name = "integer"

    def __init__(self, least: int = 1, most: int = MOST) -> None:
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; QgaitError that names the option."""
        try:
            number = int(value)
        except ValueError:
            number = None
        if number is None or not self.least <= number <= self.most:
            limits = f"from {self.least:,} to {self.most:,}"
            raise QgaitError(f"{_called(param)} is a whole number {limits}, not {_shown(value)}.", "give one of these.")
        return number


class Positive(click.ParamType[float]):
    """A number above 0, at most ``most``."""

    name = "float"

    def __init__(self, most: float) -> None:
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; QgaitError that names the option."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number <= self.most:  # a NaN is neither
            limits = f"above 0 and at most {self.most:g}"
            raise QgaitError(f"{_called(param)} is a number {limits}, not {_shown(value)}.", "give one of these.")
        return number


def _called(param: click.Parameter | None) -> str:
    return "This" if param is None else param.opts[-1]


def _shown(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


SEED = Whole(0, 2**32 - 1)  # what every generator takes
