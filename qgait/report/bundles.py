"""The bundles of a report: which of them can run here, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.runtime.bundle import Bundle
from qgait.runtime.programs import start


@dataclass(frozen=True)
class OpenBundle:
    """A whole bundle. ``label``: its target, with its folder where several have that target.

    ``device``: "local" on this machine's own processor, "qemu" under emulation, None where it cannot run here;
    ``refusal`` then says why.
    """

    bundle: Bundle
    label: str
    device: Literal["local", "qemu"] | None
    refusal: str

    @property
    def place(self) -> str:
        """Where its code ran, for people."""
        where = "on this machine" if self.device == "local" else "under QEMU"
        return f"{self.bundle.target_name} code {where}"


def open_bundles(folders: Sequence[Path], graph: Graph) -> list[OpenBundle]:
    """Opens bundles of ``graph``, every file checked; QgaitError for one of another network."""
    bundles = [Bundle.open(folder) for folder in folders]
    targets = Counter(bundle.target_name for bundle in bundles)
    result = []
    for bundle in bundles:
        parts = graph.tensors[graph.output].shape
        if (bundle.model, bundle.embedding_shape) != (graph.model, parts):
            raise QgaitError(
                f"The bundle {bundle.path} is a {bundle.model} with embeddings {list(bundle.embedding_shape)}, and the "
                f"ONNX file a {graph.model} with {list(parts)}.",
                "give bundles that were compiled from this ONNX file.",
            )
        label = bundle.target_name if targets[bundle.target_name] == 1 else f"{bundle.target_name} {bundle.path.name}"
        try:
            result.append(OpenBundle(bundle, label, "qemu" if start(bundle) else "local", ""))
        except QgaitError as error:
            said = f"{label} was not run, compared or measured: {error.problem} To run it, {error.fix}"
            result.append(OpenBundle(bundle, label, None, said))
    return result
