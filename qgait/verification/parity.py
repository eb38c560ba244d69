"""The proof: every level and runtime of one model, compared code by code.

The reference executes the integer graph; everything else is compared with it. Nothing is compared with a tolerance.
A reference that gives constant codes proves nothing and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qgait.errors import ParityError, QgaitError
from qgait.export.graph import Graph
from qgait.progress import Progress, untold
from qgait.runtime import reference
from qgait.runtime.dequantizer import Dequantizer
from qgait.verification.differences import Difference

if TYPE_CHECKING:
    from qgait.quantizers.simulated import SimulatedNetwork

Clip = NDArray[np.uint8]
Codes = NDArray[np.int8]
SHOWN = 20  # differences of a file that are told one by one
AT_ONCE = 8  # clips that a runtime is handed together: few enough for progress to be seen


class Runtime(Protocol):
    """What can embed clips; ``trace`` gives as many inner tensors as the runtime can show."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def dequantizer(self) -> Dequantizer:
        """What its codes mean, by the file that it runs."""

    def embed_many(self, clips: Sequence[Clip]) -> list[Codes]:
        """Embedding codes [P, C] of every clip [n, H, W]."""

    def trace(self, clip: Clip) -> dict[str, Codes]:
        """Codes by tensor name: frame tensors [n, ...], clip tensors [1, ...] or without that axis."""


@dataclass(frozen=True)
class RuntimeResult:
    """Codes of one runtime that differ from the reference, and the first layer at which they do.

    ``real_mismatches`` are real embeddings, ``(code - zero_point) * scale`` as the runtime's file has them, that are
    not the model's bit for bit.
    """

    mismatches: int
    max_difference: int
    first_layer: str | None
    real_mismatches: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return self.mismatches == self.real_mismatches == 0


@dataclass(frozen=True)
class FakeResult:
    """Simulated quantization against the reference: codes that differ in float32 and in float64, and how far.

    ``min_cosine`` is the smallest cosine between the float32-simulated and the integer embedding of a clip.
    """

    mismatches: int
    mismatches_float64: int
    max_difference: int
    min_cosine: float
    first_layer: str | None


@dataclass(frozen=True)
class Parity:
    """The table of ``qgait verify``. ``runtimes`` by label: ONNX Runtime has one for each optimisation level.

    ``file`` is where the file that was verified is not what a fresh fold of the model gives.
    """

    sequences: int
    codes: int
    fake: FakeResult | None
    runtimes: dict[str, RuntimeResult]
    file: tuple[Difference, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the file is the model's, and fake in float64 and every runtime gave the reference's integers."""
        fake = self.fake is None or self.fake.mismatches_float64 == 0
        return not self.file and fake and all(result.holds for result in self.runtimes.values())

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``: one entry a runtime, the worst of its labels, and the first differences of the file."""
        facts = asdict(replace(self, runtimes=worst(self.runtimes), file=self.file[:SHOWN]))
        return facts | {"file": {"differences": len(self.file), "first": facts["file"]}}


def worst(results: Mapping[str, RuntimeResult]) -> dict[str, RuntimeResult]:
    """One entry a runtime: of the four ONNX Runtime levels, the worst."""
    found: dict[str, RuntimeResult] = {}
    for label, result in results.items():
        name = label.split(" ")[0]
        if name not in found or _badness(result) > _badness(found[name]):
            found[name] = result
    return found


def _badness(result: RuntimeResult) -> tuple[int, int]:
    return result.mismatches, result.real_mismatches


def expected_codes(graph: Graph, clips: Sequence[Clip], progress: Progress | None = None) -> list[Codes]:
    """The reference's codes; ParityError when they do not vary, for then every broken runtime would look right."""
    runtime = reference.Reference(graph)
    codes = []
    for i, clip in enumerate(clips):
        codes.append(runtime.embed(clip))
        if progress is not None:
            progress("reference", i + 1, len(clips))
    if len(np.unique(np.stack(codes))) < 3:
        raise ParityError("The embedding codes are constant on these sequences, so equal codes would prove nothing.")
    return codes


def compare(
    runtime: Runtime,
    graph: Graph,
    clips: Sequence[Clip],
    expected: Sequence[Codes],
    progress: Progress = untold,
    meaning: Dequantizer | None = None,
) -> RuntimeResult:
    """Runs ``runtime`` on every clip and counts the codes and the real embeddings that differ.

    ``meaning`` is what the model's codes mean; without it that of ``graph`` is taken.
    """
    actual: list[Codes] = []
    progress(runtime.name, 0, len(clips))
    for start in range(0, len(clips), AT_ONCE):
        actual += runtime.embed_many(clips[start : start + AT_ONCE])
        progress(runtime.name, min(start + AT_ONCE, len(clips)), len(clips))
    if len(actual) != len(clips):
        raise ParityError(f"{runtime.name} gave {len(actual)} embeddings for {len(clips)} sequences.")
    different, largest, worst = _count(actual, expected)
    first = None if worst is None else first_difference(graph, clips[worst], runtime.trace(clips[worst]))
    wanted = meaning or Dequantizer.of(graph)
    real = sum(
        int(np.count_nonzero(runtime.dequantizer.real(a) != wanted.real(b)))
        for a, b in zip(actual, expected, strict=True)
    )
    return RuntimeResult(different, largest, first, real)


def meaning_of(network: SimulatedNetwork) -> Dequantizer:
    """What the embedding codes of ``network`` mean, from its own steps and grids."""
    name = network.layers[-1].name
    return Dequantizer(network.step(name).detach().numpy().astype(np.float32), network.grid(name).zero_point)


def compare_fake(
    network: SimulatedNetwork,
    graph: Graph,
    clips: Sequence[Clip],
    expected: Sequence[Codes],
    progress: Progress | None = None,
) -> FakeResult:
    """Simulated quantization in float32 and float64 against the reference."""
    import torch

    check_model(network, graph)
    meaning = meaning_of(network)
    single, double, cosines = [], [], []
    for i, clip in enumerate(clips):
        single.append(network.embed(clip, torch.float32))
        double.append(network.embed(clip, torch.float64))
        cosines.append(_cosine(meaning.real(single[-1]), meaning.real(expected[i])))
        if progress is not None:
            progress("simulated quantization", i + 1, len(clips))
    different, largest, _ = _count(single, expected)
    different64, largest64, worst = _count(double, expected)
    first = None if worst is None else first_difference(graph, clips[worst], network.trace(clips[worst]))
    return FakeResult(different, different64, max(largest, largest64), min(cosines), first)


def check_model(network: SimulatedNetwork, graph: Graph) -> None:
    """QgaitError when ``graph`` cannot have been made from ``network``."""
    if network.shapes[network.layers[-1].name] != graph.tensors[graph.output].shape:
        raise QgaitError(
            f"The model is a {network.model} and the ONNX file a {graph.model} of another shape.",
            "verify an ONNX file with the model that it was exported from.",
        )


def first_difference(graph: Graph, clip: Clip, traced: dict[str, Codes]) -> str:
    """The name of the first layer whose codes differ from the reference's, among those that were traced."""
    wanted = reference.trace(graph, clip)
    for op in graph.ops:
        if op.output not in traced:
            continue
        actual, expected = traced[op.output], wanted[op.output]
        if actual.size != expected.size or not np.array_equal(actual.reshape(expected.shape), expected):
            return op.name
    return "none of the traced layers: the difference is between runs"


def _count(actual: Sequence[Codes], expected: Sequence[Codes]) -> tuple[int, int, int | None]:
    """(codes that differ, largest difference, first clip that differs)."""
    different, largest, worst = 0, 0, None
    for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
        if a.shape != b.shape:
            raise ParityError(f"Embeddings have shape {a.shape} instead of {b.shape}.")
        difference = np.abs(a.astype(np.int16) - b)
        if difference.any():
            different += int(np.count_nonzero(difference))
            largest = max(largest, int(difference.max()))
            worst = i if worst is None else worst
    return different, largest, worst


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum() / norms) if norms else 1.0
