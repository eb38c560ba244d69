"""Recognition during training: test people by a data set's protocol, as the network stands.

Whether the protocol can be computed from them at all is found out before training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from qgait.data import opengait
from qgait.data.silhouettes import Clip, threshold
from qgait.errors import QgaitError
from qgait.evaluation.protocols import check_protocol, evaluate
from qgait.models.backbone import Backbone
from qgait.models.embedding import embed_clip
from qgait.quantizers.simulated import FRAMES_AT_ONCE, SimulatedNetwork
from qgait.training.distributed import everyones, rank, world

if TYPE_CHECKING:
    from qgait.training.configuration import Configuration

MEASURES = ("rank1", "map")
CHECKED_FIRST = 20  # test people; only if they do not suit the protocol are all of them looked at
FEW = 10  # sequences, which torch embeds before they are compiled for
AT_ONCE = 32  # sequences in memory

Embed = Callable[[Sequence[Clip]], NDArray[np.float32]]  # real embeddings [n, P, C]
# what compiles a quantized network for this machine, for so many threads; None where it cannot, which it has said
Compile = Callable[[SimulatedNetwork, int], AbstractContextManager[Embed | None]]


@dataclass(frozen=True)
class Evaluation:
    """``protocol`` is casia-b, oumvlp, grew or gait3d, with its ``probes`` where it needs them.

    ``frames`` takes only the first frames of each sequence; with ``binary`` they are thresholded, as those of training
    then are. Processes share the work. A quantized network on a CPU is evaluated as ``compile`` compiles it, if that is
    given; the figures are those of torch, since the codes are.
    """

    sequences: Sequence[opengait.Sequence]
    protocol: str
    probes: frozenset[str] = frozenset()
    frames: int | None = None
    binary: bool = False
    compile: Compile | None = None

    def __post_init__(self) -> None:
        check_protocol(self.protocol)

    def __call__(self, network: Backbone | SimulatedNetwork) -> dict[str, float]:
        """Percent by measure and condition, for example ``{"rank1 nm": 95.2, "rank1 bg": 88.0}``."""
        mine = self.sequences[rank() :: world()]
        ours: list[NDArray[np.float32]] = []
        with self._embedder(network, len(mine)) as embed:
            for start in range(0, len(mine), AT_ONCE):
                ours += list(embed([self._clip(sequence) for sequence in mine[start : start + AT_ONCE]]))
        shares = everyones(ours)
        embeddings = np.stack([shares[i % world()][i // world()] for i in range(len(self.sequences))])
        result = evaluate(self.protocol, embeddings, self.sequences, probe_set=self.probes)
        return {
            f"{measure} {condition}": float(percent)
            for measure in MEASURES
            for condition, percent in result.get(measure, {}).items()
        }

    def _clip(self, sequence: opengait.Sequence) -> Clip:
        clip = sequence.load()[: self.frames]
        return threshold(clip) if self.binary else clip

    @contextmanager
    def _embedder(self, network: Backbone | SimulatedNetwork, clips: int) -> Iterator[Embed]:
        if self.compile is not None and isinstance(network, SimulatedNetwork) and clips > FEW and _on_cpu(network):
            with self.compile(network, torch.get_num_threads()) as embed:
                if embed is not None:
                    yield embed
                    return
        yield lambda some: np.stack([_by_torch(network, clip) for clip in some])


def _by_torch(network: Backbone | SimulatedNetwork, clip: Clip) -> NDArray[np.float32]:
    if isinstance(network, Backbone):
        return embed_clip(network, clip)
    with torch.inference_mode():
        frames = torch.from_numpy(np.ascontiguousarray(clip))[None].to(next(network.parameters()).device)
        integers = network(frames, chunk=FRAMES_AT_ONCE)[0]
        return (integers * network.embedding_step().float()[:, None]).cpu().numpy()


def _on_cpu(network: SimulatedNetwork) -> bool:
    return next(network.parameters()).device.type == "cpu"


def open_evaluation(
    configuration: Configuration, dataset: opengait.Dataset, compile: Compile | None = None
) -> Evaluation | None:
    """The test on the partition's test people; None if there are none, and none was asked for."""
    protocol = configuration.data.protocol
    test = dataset.partition.test if dataset.partition else frozenset()
    sequences = [sequence for sequence in dataset.sequences if sequence.subject in test]
    if protocol is None or not sequences:
        if configuration.settings.evaluate_every:
            raise QgaitError(
                "There are no test people to evaluate on.",
                "name a `partition` that has some and a `protocol`, or leave `evaluate_every` out.",
            )
        return None
    few = sorted({sequence.subject for sequence in sequences})[:CHECKED_FIRST]
    try:
        _dry([s for s in sequences if s.subject in few], protocol, dataset.probes)
    except QgaitError:
        try:
            _dry(sequences, protocol, dataset.probes)
        except QgaitError as error:
            raise QgaitError(
                f"The test people do not suit the protocol {protocol}: {error.problem}",
                "name another `protocol`, or train without a test: `data.protocol=null`.",
            ) from None
    data = configuration.data
    return Evaluation(sequences, protocol, dataset.probes, data.test_frames, data.binary, compile)


def _dry(sequences: list[opengait.Sequence], protocol: str, probes: frozenset[str]) -> None:
    """The protocol without a network, so that nobody trains for days to learn that it cannot be computed."""
    evaluate(protocol, np.zeros((len(sequences), 1, 1), np.float32), sequences, probe_set=probes)
