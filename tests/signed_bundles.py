"""A pair of keys, a second one, and signed copies of the example bundles to break."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

from compiled_bundles import bundle, folder

from qgait.signing.keys import make_pair, read_private
from qgait.signing.sign import sign


def pair(name: str = "maker") -> tuple[Path, Path]:
    """The files of a private and of its public key."""
    return _pair(name)


@cache
def _pair(name: str) -> tuple[Path, Path]:
    private, public = folder() / f"{name}.private.pem", folder() / f"{name}.public.pem"
    make_pair(private, public)
    return private, public


def signed_copy(out: Path, target: str = "host", by: str = "maker", graph: str = "tiny") -> Path:
    """A bundle for ``target`` in the new folder ``out``, signed by the pair ``by``."""
    shutil.copytree(bundle(graph, target).path, out)
    sign(out, read_private(pair(by)[0]))
    return out
