"""What a bundle's command streams take by Vela's estimate, added up over a frame and an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qgait.targets.accelerators import find_npu

CLIP = 30  # frames of the clip that totals are given for


@dataclass(frozen=True)
class StreamEstimate:
    """One command stream. ``share`` of the accelerator's peak is used by the graph's multiply-accumulates.

    Memory in bytes; ``stride``: it runs every so many frames, or once an embedding (``phase`` clip).
    """

    name: str
    phase: str
    operators: int
    stride: int
    cycles: int
    milliseconds: float
    macs: int
    share: float
    sram: int
    dram: int
    flash: int


@dataclass(frozen=True)
class Estimate:
    """Estimates for a bundle, without the part of the host core.

    Times of a frame are the mean over a long clip. Streams never run at the same time: ``sram`` is that of the largest
    one, ``dram`` all weights there and the largest working memory, ``flash`` all weights there.
    """

    accelerator: str
    system_config: str
    memory_mode: str
    streams: tuple[StreamEstimate, ...]
    sram: int
    dram: int
    flash: int

    @property
    def frame_cycles(self) -> float:
        """NPU cycles of a frame."""
        return sum(stream.cycles / stream.stride for stream in self.streams if stream.phase == "frame")

    @property
    def frame_milliseconds(self) -> float:
        """Of the NPU, for a frame."""
        return sum(stream.milliseconds / stream.stride for stream in self.streams if stream.phase == "frame")

    @property
    def embedding_cycles(self) -> int:
        """NPU cycles of an embedding."""
        return sum(stream.cycles for stream in self.streams if stream.phase == "clip")

    @property
    def embedding_milliseconds(self) -> float:
        """Of the NPU, for an embedding."""
        return sum(stream.milliseconds for stream in self.streams if stream.phase == "clip")

    @property
    def clip_milliseconds(self) -> float:
        """Of the NPU, for a clip of 30 frames and its embedding."""
        return CLIP * self.frame_milliseconds + self.embedding_milliseconds

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "estimate": True,
            "system_config": self.system_config,
            "memory_mode": self.memory_mode,
            "streams": [asdict(stream) for stream in self.streams],
            "cycles_per_frame": self.frame_cycles,
            "cycles_per_embedding": self.embedding_cycles,
            "sram_bytes": self.sram,
            "dram_bytes": self.dram,
            "flash_bytes": self.flash,
        }


def estimate(npu: dict[str, Any]) -> Estimate:
    """Of the entry ``npu`` in a bundle's manifest."""
    accelerator = find_npu(npu["accelerator"])
    assert accelerator is not None
    segments: Sequence[dict[str, Any]] = npu["segments"]
    streams = tuple(_stream(facts, accelerator.macs) for facts in segments)
    in_dram = [(stream.dram, facts["scratch_bytes"]) for stream, facts in zip(streams, segments, strict=True)]
    working = [min(dram, scratch) for dram, scratch in in_dram]
    return Estimate(
        accelerator=accelerator.name,
        system_config=npu["system_config"],
        memory_mode=npu["memory_mode"],
        streams=streams,
        sram=max(stream.sram for stream in streams),
        dram=sum(dram for dram, _ in in_dram) - sum(working) + max(working),
        flash=sum(stream.flash for stream in streams),
    )


def _stream(facts: dict[str, Any], peak: int) -> StreamEstimate:
    figures = facts["estimate"]
    return StreamEstimate(
        name=facts["name"],
        phase=facts["phase"],
        operators=len(facts["operators"]),
        stride=facts["stride"],
        cycles=figures["cycles"],
        milliseconds=1e3 * figures["cycles"] / figures["clock"],
        macs=facts["macs"],
        share=facts["macs"] / (figures["cycles"] * peak),
        sram=figures["sram"],
        dram=figures["dram"],
        flash=figures["flash"],
    )
