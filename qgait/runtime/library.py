"""A bundle's shared library in this process, through ctypes."""

from __future__ import annotations

import ctypes
from pathlib import Path

from qgait.errors import QgaitError
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_names import Names
from qgait.runtime.description import Description
from qgait.runtime.programs import start
from qgait.runtime.selftest import selftest
from qgait.targets.processor import machine_name


class Library:
    """The four calls of the C API, whatever their prefix; ``loaded`` is the library itself.

    ``arena_size()``, ``reset(arena)``, ``push(arena, frame)`` and ``embedding(arena, out)`` take addresses.
    ``description`` is what it was built with.
    """

    def __init__(self, path: Path, names: Names) -> None:
        self.loaded = ctypes.CDLL(str(path.absolute()))
        self.arena_size, self.reset, self.push, self.embedding = (self.loaded[call] for call in names.calls)
        self.arena_size.restype = ctypes.c_size_t
        self.reset.argtypes = [ctypes.c_void_p]
        self.reset.restype = None
        self.push.argtypes = self.embedding.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self.description = Description.loaded(self.loaded, names.description)


def load(bundle: Bundle) -> Library:
    """The library of ``bundle``; QgaitError when the manifest says of it what is not so.

    The self-test runs first in a process of its own: on a processor that lacks the instructions of the target it
    stops there and not in this process.
    """
    if start(bundle):
        raise QgaitError(
            f"The bundle {bundle.path} is for {machine_name(bundle.target.elf_machine)} and cannot be loaded here.",
            "compile it for this machine (`target=host`).",
        )
    selftest(bundle)
    library = Library(bundle.path / bundle.names.shared, bundle.names)
    library.description.check(bundle)
    return library
