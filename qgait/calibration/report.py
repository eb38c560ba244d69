"""What calibration found: clipping of every tensor, and whether more data would change the ranges."""

from __future__ import annotations

from dataclasses import asdict, dataclass

STABLE = 0.1  # steps of half the data within 10 % of those of all: more data would hardly move them


@dataclass(frozen=True)
class TensorReport:
    """One quantized tensor. ``clipped`` and ``drift`` are shares: of values outside the grid, and of the step."""

    tensor: str
    bits: int
    step: float
    clipped: float
    drift: float


@dataclass(frozen=True)
class CalibrationReport:
    """``clips`` clips of ``frames`` frames each, ranges chosen by ``method``."""

    clips: int
    frames: int
    method: str
    tensors: list[TensorReport]

    @property
    def unstable(self) -> list[str]:
        """Tensors whose step differs by more than 10 % between half the data and all of it."""
        return [t.tensor for t in self.tensors if t.drift > STABLE]

    def verdict(self) -> str:
        """One sentence on the amount of data."""
        if not self.unstable:
            return f"The ranges are stable: half of the {self.clips} clips give the same steps within {STABLE:.0%}."
        return (
            f"More data would change the ranges of {len(self.unstable)} of {len(self.tensors)} tensors "
            f"({', '.join(self.unstable[:3])}): calibrate with more than {self.clips} clips."
        )

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return asdict(self) | {"unstable": self.unstable, "verdict": self.verdict()}
