"""How the commands in this folder end: 0 fine, 1 a check failed, 2 wrong use."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from qgait.errors import ParityError, QgaitError


def exit_code(
    main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser, words: list[str] | None
) -> int:
    """The exit code of ``main`` with what ``parser`` makes of ``words``; what is wrong goes to standard error."""
    try:
        main(parser.parse_intermixed_args(words))
    except (ParityError, QgaitError) as error:
        print(error, file=sys.stderr)
        return 1 if isinstance(error, ParityError) else 2
    return 0
