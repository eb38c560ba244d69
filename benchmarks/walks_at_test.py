"""The test people's walks in memory, and rank-1 of a network on them at each of its levels."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qgait.data.opengait import Sequence as Walk
from qgait.evaluation.protocols import evaluate
from qgait.models.backbone import Backbone
from qgait.quantizers.simulated import SimulatedNetwork

CLIPS_AT_ONCE = 8


class WalksAtTest:
    """``clips`` uint8 [n, frames, 64, 44]: of every walk so many frames, evenly spaced over it."""

    def __init__(self, walks: list[Walk], people: int | None = None, frames: int = 16) -> None:
        chosen = sorted({walk.subject for walk in walks})[:people]
        self.people, self.walks = len(chosen), [walk for walk in walks if walk.subject in set(chosen)]
        self.clips = np.stack([_evenly(walk.load(), frames) for walk in self.walks])

    def rank1(self, embeddings: NDArray[np.float32]) -> dict[str, float]:
        """NM, BG and CL in percent by CASIA-B's protocol, of embeddings [n, P, C]."""
        figures: dict[str, Any] = evaluate("casia-b", embeddings, self.walks)["rank1"]
        return {condition: round(float(figure), 2) for condition, figure in figures.items()}

    def of_float(self, model: Backbone) -> dict[str, float]:
        """Rank-1 of the float level."""
        model.eval()
        with torch.inference_mode():
            parts = [model(part.float() / 255) for part in torch.from_numpy(self.clips).split(CLIPS_AT_ONCE)]
        return self.rank1(torch.cat(parts).float().numpy())

    def fake_codes(self, network: SimulatedNetwork) -> NDArray[np.int8]:
        """Embedding codes [n, P, C] of the simulated network, in float32."""
        network.eval()
        with torch.inference_mode():
            levels = torch.cat([network(part) for part in torch.from_numpy(self.clips).split(CLIPS_AT_ONCE)])
        return (levels + network.grid(network.layers[-1].name).zero_point).numpy().astype(np.int8)

    def int_codes(self, network: SimulatedNetwork) -> NDArray[np.int8]:
        """Embedding codes [n, P, C] of the exported integer graph in ONNX Runtime."""
        from qgait.export.folding import fold
        from qgait.export.onnx_writer import write
        from qgait.runtime.ort import OnnxRuntime

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            write(fold(network), path)
            return np.stack(OnnxRuntime(path, threads=1).embed_many(self.clips))

    def of_codes(self, network: SimulatedNetwork, codes: NDArray[np.int8]) -> dict[str, float]:
        """Rank-1 of embedding codes in real units."""
        levels = codes.astype(np.float32) - network.grid(network.layers[-1].name).zero_point
        return self.rank1(levels * network.embedding_step().detach().numpy().astype(np.float32)[:, None])

    def of_levels(self, network: SimulatedNetwork) -> dict[str, Any]:
        """Rank-1 of the fake and of the int level, and how many of the codes differ between them."""
        fake, exact = self.fake_codes(network), self.int_codes(network)
        return {
            **self.of_codes(network, fake),
            "int": self.of_codes(network, exact),
            "codes": int(fake.size),
            "codes that differ": int((fake != exact).sum()),
        }


def _evenly(clip: NDArray[np.uint8], frames: int) -> NDArray[np.uint8]:
    return clip[np.linspace(0, len(clip) - 1, frames).round().astype(int)]
