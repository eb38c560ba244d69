"""Facts of a report about a small network, made the way ``qgait demo`` makes them."""

from __future__ import annotations

import functools
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

from example_graphs import silhouettes
from small_networks import clips, network

from qgait.data.opengait import Dataset
from qgait.export.folding import fold
from qgait.report import facts
from qgait.report.layer_errors import layer_errors
from qgait.report.network import describe
from qgait.report.pictures import strips

RUNTIMES = ("reference", "ort", "host", "arm")
PLACES = {"host": "host code on this machine", "arm": "arm code under QEMU"}


def verification(**mismatches: int) -> dict[str, Any]:
    """What ``qgait verify`` writes; ``ort=3`` makes 3 codes differ there."""
    fake = {"mismatches": 2, "mismatches_float64": mismatches.pop("float64", 0), "max_difference": 1}
    runtimes = {
        name: {
            "mismatches": mismatches.get(name, 0),
            "max_difference": 5 if mismatches.get(name) else 0,
            "first_layer": "gl_add2" if mismatches.get(name) else None,
        }
        for name in RUNTIMES
    }
    return {
        "sequences": 7,
        "codes": 8680,
        "fake": fake | {"min_cosine": 0.999, "first_layer": None},
        "runtimes": runtimes,
    }


def evaluations() -> list[dict[str, Any]]:
    """What ``qgait eval`` writes, four times."""
    pairs = (("float", "torch"), ("fake", "torch"), ("int", "ort"), ("int", "host"))
    return [
        {"level": level, "runtime": runtime, "rank1": {"nm": 91.25 + i, "bg": 71.25 + i, "cl": 41.25 + i}}
        | {"eer": 3.25 + i, "frr_at_far": {"0.01": 9.5}}
        for i, (level, runtime) in enumerate(pairs)
    ]


def benchmarks() -> dict[str, dict[str, Any]]:
    """What ``qgait bench`` writes on this machine and under QEMU."""
    return {
        "host": {"device": "local", "frame_ms": {"median": 0.1236, "p95": 0.2}, "instructions_per_frame": None}
        | {"model_bytes": 301_000},
        "arm": {"device": "qemu", "frame_ms": {"median": None, "p95": None}, "instructions_per_frame": 3_127_000}
        | {"model_bytes": 322_000},
    }


def kernels() -> list[dict[str, Any]]:
    """One target with one kernel."""
    kernel = {"symbol": "qgait_x", "per_frame": True, "layers": ["x"], "implementation": "sdot 4x16", "bytes": 1234}
    costs = {"unit": "instructions", "remark": ""}
    sizes = {"libgait.so": 4321}
    return [{"target": "arm", "description": "ARM", "kernels": [kernel | {"cost": 98765.0}], "sizes": sizes} | costs]


def recognised() -> dict[str, Any]:
    """What the data tell: three conditions, two views, one cell without walks."""
    cells = [[99.25, 87.5], [None, 98.75]]
    return {
        "protocol": "casia-b",
        "people": 3,
        "sequences": 30,
        "frames": None,
        "conditions": ["nm", "bg", "cl"],
        "results": evaluations(),
        "views": {"views": ["000", "090"], "nm": cells, "bg": cells, "cl": cells},
        "views_by": "int, host",
        "missing": [],
        "notes": [],
    }


def walkers(root: Path) -> Dataset:
    """Two conditions and five views of one person, as OpenGait folders."""
    for number, (condition, view) in enumerate((c, v) for c in ("nm-01", "cl-01") for v in (0, 36, 90, 126, 180)):
        folder = root / "001" / condition / f"{view:03d}"
        folder.mkdir(parents=True)
        (folder / f"{view:03d}.pkl").write_bytes(pickle.dumps(silhouettes(12, number)))
    return Dataset.open(root)


@functools.cache
def _text(name: str) -> str:
    net = network(name)
    graph = fold(net)
    verify, errors = verification(), layer_errors(net, graph, net.layers, clips(2, 3, seed=50))
    with tempfile.TemporaryDirectory() as folder:
        pictures = strips(walkers(Path(folder)).sequences)
    return json.dumps(
        {
            "verdict": facts.verdict(verify, errors, [], [], PLACES),
            "table": facts.table(
                verify, evaluations(), benchmarks(), {"float": 400_000, "fake": 410_000, "ort": 120_000}
            ),
            "data": {"people": 1, "sequences": 10, "seed": 0, "traced": 2, "frames_compared": 12},
            "recognition": recognised(),
            "silhouettes": pictures,
            "network": describe(graph, net.weight_bits),
            "errors": errors,
            "kernels": kernels(),
            "commands": [{"command": "qgait demo <here>", "seconds": 1.25}],
            "provenance": {"trained on": "blobs & noise"},
            "versions": facts.versions(),
        }
    )


def small_facts(name: str = "gaitset") -> dict[str, Any]:
    """Facts as they come back from demo.json; yours to change."""
    found: dict[str, Any] = json.loads(_text(name))
    return found
