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
    """``clips`` uint8 [n, frames, 64, 44]: of every walk so many frames, evenly spaced over it.

    ``neighbours``: those in the middle of the walk instead, one after the other; a walk with fewer begins again.
    """

    def __init__(
        self, walks: list[Walk], people: int | None = None, frames: int = 16, neighbours: bool = False
    ) -> None:
        self.walks = _of_first(walks, people)
        cut = _middle if neighbours else _evenly
        self.clips = np.stack([cut(walk.load(), frames) for walk in self.walks])

    def rank1(self, embeddings: NDArray[np.float32], walks: list[Walk] | None = None) -> dict[str, float]:
        """NM, BG and CL in percent by CASIA-B's protocol, of embeddings [n, P, C] of ``walks`` (all)."""
        figures: dict[str, Any] = evaluate("casia-b", embeddings, walks or self.walks)["rank1"]
        return {condition: round(float(figure), 2) for condition, figure in figures.items()}

    def of_float(self, model: Backbone) -> dict[str, float]:
        """Rank-1 of the float level."""
        model.eval()
        with torch.inference_mode():
            parts = [model(part.float() / 255) for part in torch.from_numpy(self.clips).split(CLIPS_AT_ONCE)]
        return self.rank1(torch.cat(parts).float().numpy())

    def fake_codes(
        self, network: SimulatedNetwork, clips: NDArray[np.uint8], dtype: torch.dtype = torch.float32
    ) -> NDArray[np.int8]:
        """Embedding codes [n, P, C] of ``clips`` by the simulated network."""
        network.eval()
        with torch.inference_mode():
            integers = torch.cat([network(part, dtype) for part in torch.from_numpy(clips).split(CLIPS_AT_ONCE)])
        return (integers + network.grid(network.layers[-1].name).zero_point).numpy().astype(np.int8)

    def int_codes(self, network: SimulatedNetwork, clips: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Embedding codes [n, P, C] of ``clips`` by the exported integer graph in ONNX Runtime."""
        from qgait.export.folding import fold
        from qgait.export.onnx.writer import write
        from qgait.runtime.ort import OnnxRuntime

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            write(fold(network), path)
            return np.stack(OnnxRuntime(path, threads=1).embed_many(clips))

    def of_codes(
        self, network: SimulatedNetwork, codes: NDArray[np.int8], walks: list[Walk] | None = None
    ) -> dict[str, float]:
        """Rank-1 of embedding codes in real units."""
        integers = codes.astype(np.float32) - network.grid(network.layers[-1].name).zero_point
        return self.rank1(integers * network.embedding_step().detach().numpy().astype(np.float32)[:, None], walks)

    def of_levels(
        self, network: SimulatedNetwork, int_people: int | None = None, float64_people: int | None = 0
    ) -> dict[str, Any]:
        """Rank-1 of the fake level in float32; on the first ``int_people`` (all) that of fake and int.

        Also how many of their codes differ, and how many of int and fake in float64, on the first ``float64_people``.
        """
        fake = self.fake_codes(network, self.clips)
        tested = self._of(int_people)
        walks = [walk for walk, is_tested in zip(self.walks, tested, strict=True) if is_tested]
        exact = np.zeros_like(fake)
        exact[tested] = self.int_codes(network, self.clips[tested])
        figures = self.of_codes(network, fake) | {
            "fake, int's people": self.of_codes(network, fake[tested], walks),
            "int": self.of_codes(network, exact[tested], walks),
            "codes": int(exact[tested].size),
            "codes that differ": int((fake[tested] != exact[tested]).sum()),
        }
        compared = tested & self._of(float64_people)
        if compared.any():
            float64 = self.fake_codes(network, self.clips[compared], torch.float64)
            figures |= {
                "codes in float64": int(float64.size),
                "codes that differ in float64": int((float64 != exact[compared]).sum()),
            }
        return figures

    def _of(self, people: int | None) -> NDArray[np.bool_]:
        """Which walks are of the first ``people``: bool [n]."""
        chosen = {walk.subject for walk in _of_first(self.walks, people)}
        return np.array([walk.subject in chosen for walk in self.walks])


def _of_first(walks: list[Walk], people: int | None) -> list[Walk]:
    chosen = set(sorted({walk.subject for walk in walks})[:people])
    return [walk for walk in walks if walk.subject in chosen]


def _evenly(clip: NDArray[np.uint8], frames: int) -> NDArray[np.uint8]:
    return clip[np.linspace(0, len(clip) - 1, frames).round().astype(int)]


def _middle(clip: NDArray[np.uint8], frames: int) -> NDArray[np.uint8]:
    start = max((len(clip) - frames) // 2, 0)
    return clip[(start + np.arange(frames)) % len(clip)]
