"""The test of a network in training: on whose sequences, and whether a protocol can be computed from them at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qgait.errors import QgaitError

if TYPE_CHECKING:
    from qgait.data.opengait import Dataset, Sequence
    from qgait.training.configuration import Configuration
    from qgait.training.evaluation import Evaluation

CHECKED_FIRST = 20  # test people; only if they do not suit the protocol are all of them looked at


def open_evaluation(configuration: Configuration, dataset: Dataset) -> Evaluation | None:
    """The test on the partition's test people; None if there are none, which --evaluate-every does not allow."""
    from qgait.training.evaluation import Evaluation

    protocol = configuration.data.protocol
    test = dataset.partition.test if dataset.partition else frozenset()
    sequences = [sequence for sequence in dataset.sequences if sequence.subject in test]
    if protocol is None or not sequences:
        if configuration.settings.evaluate_every:
            raise QgaitError(
                "There are no test people to evaluate on.",
                "name a --partition that has some and a --protocol, or leave --evaluate-every out.",
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
                "name another --protocol, or train without a test: --set data.protocol=null.",
            ) from None
    return Evaluation(sequences, protocol, dataset.probes, configuration.data.test_frames, configuration.data.binary)


def _dry(sequences: list[Sequence], protocol: str, probes: frozenset[str]) -> None:
    """The protocol without a network, so that nobody trains for days to learn that it cannot be computed."""
    from qgait.evaluation.protocols import evaluate

    evaluate(protocol, np.zeros((len(sequences), 1, 1), np.float32), sequences, probe_set=probes)
