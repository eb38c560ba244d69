"""How large the tuples of a pickle are once their repetitions are counted.

A few hundred bytes can be a tuple of a tuple twice, forty levels deep: it takes no memory, but whoever hashes it, as a
key of a dictionary, is busy for years. Instructions are followed as data; nothing is built.
"""

from __future__ import annotations

import pickletools
from typing import Any

MAX_SIZE = 1_000
MAX_INSTRUCTIONS = 500_000


class OversizedError(Exception):
    """A tuple counts more parts than any checkpoint's."""


def check_pickle(file: Any) -> None:
    """OversizedError for a tuple of more than 1,000 parts, those inside its parts included.

    ``file`` is read from where it stands to the end of the pickle; it has ``read``, ``readline`` and ``tell``.

    ValueError, IndexError or KeyError for what is no pickle.
    """
    sizes: list[int] = []  # of what is on the stack
    marks: list[int] = []
    memo: dict[object, int] = {}
    for step, (instruction, value, _) in enumerate(pickletools.genops(file)):
        code = instruction.name
        if step > MAX_INSTRUCTIONS:
            raise OversizedError
        if code == "MARK":
            marks.append(len(sizes))
        elif code in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[value] = sizes[-1]
        elif code == "MEMOIZE":
            memo[len(memo)] = sizes[-1]
        elif code in ("GET", "BINGET", "LONG_BINGET"):
            sizes.append(memo[value])
        else:
            _follow(instruction, sizes, marks)


def _follow(instruction: pickletools.OpcodeInfo, sizes: list[int], marks: list[int]) -> None:
    """What an instruction takes from the stack, and the one thing that it puts there."""
    before, after = instruction.stack_before, instruction.stack_after
    if pickletools.markobject in before:
        start = marks.pop() - before.index(pickletools.markobject)
    else:
        start = len(sizes) - len(before)
    if start < 0:
        raise IndexError
    taken = sizes[start:]
    del sizes[start:]
    if after:
        # what is not hashed by its parts, a list or a dictionary, counts for one
        whole = instruction.name in ("LIST", "DICT", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "EMPTY_LIST")
        size = 1 if whole else 1 + sum(taken)
        if size > MAX_SIZE:
            raise OversizedError
        sizes.extend([size] * len(after))
