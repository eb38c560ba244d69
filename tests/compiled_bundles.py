"""Bundles of the example graphs, compiled once a test process, and copies of them to break."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from example_graphs import (
    gaitbase_graph,
    gaitset_graph,
    light_graph,
    parts_graph,
    silhouettes,
    temporal_graph,
    tiny_graph,
)
from numpy.typing import NDArray

from qgait.compiler.bundle import write
from qgait.export.graph import Graph
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_manifest import MANIFEST, read_manifest, sign
from qgait.runtime.bundle_names import DEFAULT_PREFIX
from qgait.targets.processors import find

GRAPHS: dict[str, Callable[[], Graph]] = {
    "tiny": tiny_graph,
    "gaitset": gaitset_graph,
    "gaitbase": gaitbase_graph,
    "temporal": temporal_graph,
    "parts": parts_graph,
    "light": light_graph,
}


@cache
def graph(name: str) -> Graph:
    return GRAPHS[name]()


def clips(of: Graph, *lengths: int) -> list[NDArray[np.uint8]]:
    """Silhouettes of the graph's size, one clip a length."""
    height, width, _ = of.tensors[of.input].shape
    return [silhouettes(frames, 7 + i, height, width) for i, frames in enumerate(lengths)]


@cache
def folder() -> Path:
    """Goes away with the process."""
    made = Path(tempfile.mkdtemp(prefix="qgait-test-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@cache
def bundle(name: str, target: str, trace: bool = False, prefix: str = DEFAULT_PREFIX) -> Bundle:
    """The example graph ``name`` for ``target``; not to be changed."""
    out = folder() / f"{name}-{target}-{trace}-{prefix}"
    return write(graph(name), find(target), out, clips(graph(name), 2, 3), trace, prefix=prefix)


def broken(of: Bundle, out: Path, file: str, change: Callable[[bytes], bytes], resign: bool) -> Path:
    """A copy of a bundle with one file changed; ``resign`` makes the manifest agree with it."""
    shutil.copytree(of.path, out)
    path = out / file
    before = path.read_bytes()
    after = change(before)
    assert after != before
    path.write_bytes(after)
    if resign:
        manifest = read_manifest(of.path)
        (out / MANIFEST).unlink()
        sign(out, manifest)
    return out


def flipped(at: int, bits: int = 0x55) -> Callable[[bytes], bytes]:
    """Changes one byte."""
    return lambda data: data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]
