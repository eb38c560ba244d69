"""The C of a bundle, written for the prefix ``gait``; files called ``.in`` have ``$names`` to fill in."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from qgait.runtime.bundle_names import CALLS, DEFAULT_PREFIX, DESCRIPTION

DEVICE = Path(__file__).parent

_LOWER = re.compile(rf"\bgait(?=_({'|'.join((*CALLS, DESCRIPTION))}|weights)\b|\.h\b|-run\b|-trace\b)")
_UPPER = re.compile(r"\bGAIT(?=_(?!(TRACE|NPU_DEVICE|NPU_CYCLES)\b))")


def c_source(name: str, prefix: str, /, **values: object) -> str:
    """The text of the file ``name`` with another prefix in the place of ``gait``, and then ``$names`` filled in.

    The prefix changes what others see of a library: its calls, constants, header, and the programs that are linked
    with it. What belongs to no network keeps its name: the NPU's driver, and options of the C compiler.
    """
    text = (DEVICE / name).read_text(encoding="utf-8")
    if prefix != DEFAULT_PREFIX:
        text = _UPPER.sub(prefix.upper(), _LOWER.sub(prefix, text))
    return Template(text).substitute(values) if name.endswith(".in") else text
