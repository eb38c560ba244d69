"""The functions of a compiled network, and what they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgait.runtime.bundle import Bundle


def describe(folder: Path) -> dict[str, Any]:
    """The kernels of the bundle in ``folder`` in execution order, and the bytes of its parts, as plain data."""
    bundle = Bundle.open(folder)
    facts = bundle.manifest
    chosen = dict(note.rsplit(": ", 1) for note in facts["notes"] if ": " in note)
    return {
        "target": bundle.target.name,
        "description": bundle.target.description,
        "kernels": [
            {
                "symbol": kernel["symbol"],
                "per_frame": kernel["phase"] == "frame",
                "layers": [_plain(layer) for layer in kernel["layers"]] or kernel["outputs"],
                "implementation": chosen.get(" + ".join(kernel["layers"])),
                "bytes": kernel["constant_bytes"],
            }
            for kernel in facts["kernels"]
        ],
        "sizes": {
            "libgait.so": bundle.size(bundle.names.shared),
            "libgait.a": bundle.size(bundle.names.archive),
            "gait-run": bundle.size("gait-run"),
            "arena": facts["memory"]["arena_bytes"],
        },
    }


def _plain(layer: str) -> str:
    """A table is called after its layer and its function; beside the layer the function is enough."""
    return layer.rsplit(".", 1)[-1].replace("_", " ") if layer.endswith("relu") else layer
