"""What a bundle's files and C functions are called. They begin with a prefix, so that one program may have several."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qgait.errors import QgaitError
from qgait.targets.processors import Target

DEFAULT_PREFIX = "gait"
CALLS = ("arena_size", "reset", "push", "embedding")
DESCRIPTION = "description"  # the one piece of data in the C API

# a header or library of this name would hide that of the C library, or another file of the bundle
_TAKEN = (
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic "
    "stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype "
    "c m dl rt util pthread gcc npu_driver system selftest clip_stream arena"
)


@dataclass(frozen=True)
class Names:
    """Of the bundle with a ``prefix``."""

    prefix: str = DEFAULT_PREFIX

    @property
    def header(self) -> str:
        """The C API."""
        return f"{self.prefix}.h"

    @property
    def archive(self) -> str:
        """The library for linking."""
        return f"lib{self.prefix}.a"

    @property
    def shared(self) -> str:
        """The library for loading at run time."""
        return f"lib{self.prefix}.so"

    @property
    def pkg_config(self) -> str:
        """What pkg-config reads."""
        return f"{self.prefix}.pc"

    @property
    def tracer(self) -> str:
        """The program that writes down every kernel's result."""
        return f"debug/{self.prefix}-trace"

    @property
    def calls(self) -> tuple[str, ...]:
        """The functions of the C API."""
        return tuple(f"{self.prefix}_{call}" for call in CALLS)

    @property
    def description(self) -> str:
        """The numbers that the library was built with."""
        return f"{self.prefix}_{DESCRIPTION}"

    def program(self, target: Target) -> str:
        """The executable."""
        return f"{self.prefix}-run" if not target.bare_metal else f"{self.prefix}-run.elf"


def names_for(prefix: str) -> Names:
    """Names that begin with ``prefix``; QgaitError unless C functions and files can have them."""
    if not re.fullmatch(r"[A-Za-z]\w*", prefix, re.ASCII):
        raise QgaitError(
            f"The prefix {prefix!r} cannot begin the name of a C function.",
            "take letters, digits and underscores, beginning with a letter.",
        )
    if prefix.lower() in _TAKEN.split():
        raise QgaitError(
            f"The prefix {prefix} would hide a file of that name.", f"take another, such as {prefix}_gait."
        )
    return Names(prefix)
