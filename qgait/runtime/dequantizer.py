"""What the codes of an embedding mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qgait.export.graph import Graph


@dataclass(frozen=True, eq=False)
class Dequantizer:
    """``real = (code - zero_point) * scale``; ``scale`` is float32 [P], one number a part."""

    scale: NDArray[np.float32]
    zero_point: int

    @staticmethod
    def of(graph: Graph) -> Dequantizer:
        """Of the embedding of ``graph``."""
        output = graph.tensors[graph.output]
        return Dequantizer(output.scale, output.zero_point)

    def real(self, codes: NDArray[np.int8]) -> NDArray[np.float32]:
        """Real embeddings, float32 of the shape of ``codes``, which is [..., P, C]."""
        return (codes.astype(np.float32) - np.float32(self.zero_point)) * self.scale.reshape(-1, 1)
