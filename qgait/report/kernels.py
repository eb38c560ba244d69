"""The functions of a compiled network: what they compute, need and cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qgait.errors import QgaitError
from qgait.report.bundles import OpenBundle
from qgait.report.kernel_costs import kernel_costs
from qgait.runtime.ethosu.estimate import estimate

WITHOUT_COSTS = "The cost of each kernel was not measured. "
ESTIMATED = "Times of command streams are Vela's estimates; kernels of the host core were not measured."


def describe(opened: OpenBundle) -> dict[str, Any]:
    """The kernels of a bundle in execution order, and the bytes of its parts, as plain data.

    ``unit`` is that of the ``cost`` of kernels: "instructions" or "ms"; None where there is none. ``remark`` says why
    there is none, or that it is an estimate: of the command streams of an NPU, which are kernels here too.
    """
    bundle = opened.bundle
    facts = bundle.manifest
    chosen = dict(note.rsplit(": ", 1) for note in facts["notes"] if ": " in note)
    unit, costs, remark = _costs(opened)
    files = (bundle.names.shared, bundle.names.archive, bundle.gait_run.name)
    return {
        "target": opened.label,
        "description": bundle.target.description,
        "unit": unit,
        "remark": remark,
        "kernels": [
            {
                "symbol": _name(kernel),
                "per_frame": kernel["phase"] == "frame",
                "layers": [_plain(layer) for layer in kernel["layers"]] or kernel["outputs"],
                "implementation": "on the NPU" if "segment" in kernel else chosen.get(" + ".join(kernel["layers"])),
                "bytes": kernel["constant_bytes"],
                "cost": costs.get(_name(kernel)),
            }
            for kernel in facts["kernels"]
        ],
        "sizes": {name: bundle.size(name) for name in files if name in facts["files"]}
        | {"arena": facts["memory"]["arena_bytes"]},
    }


def _name(kernel: Mapping[str, Any]) -> str:
    """The C function, or the command stream."""
    return str(kernel.get("symbol") or kernel["segment"])


def _costs(opened: OpenBundle) -> tuple[str | None, Mapping[str, float], str]:
    """Unit, cost by name, and what is to be said about them."""
    if opened.bundle.npu is not None:
        streams = estimate(opened.bundle.npu).streams
        return "ms", {stream.name: stream.milliseconds for stream in streams}, ESTIMATED
    if opened.device is None:
        return None, {}, WITHOUT_COSTS + opened.refusal
    try:
        found = kernel_costs(opened.bundle)
    except QgaitError as error:
        return None, {}, f"{WITHOUT_COSTS}{error.problem} Fix: {error.fix}"
    return found.unit, found.of, ""


def _plain(layer: str) -> str:
    """A table is called after its layer and its function; beside the layer the function is enough."""
    return layer.rsplit(".", 1)[-1].replace("_", " ") if layer.endswith("relu") else layer
