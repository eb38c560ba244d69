"""The decoder of compressed weights against the encoder and decoder in Vela's package, and on damaged streams."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.runtime.ethosu.interpreter.weight_stream import decompressed

RNG = np.random.default_rng(11)
KINDS = ["uniform", "normal", "ternary", "sparse", "constant", "few"]


def weights(kind: str, count: int) -> NDArray[np.integer]:
    match kind:
        case "uniform":
            return RNG.integers(-127, 128, count)
        case "normal":
            return np.clip(np.round(RNG.normal(0, 12, count)), -127, 127).astype(int)
        case "ternary":
            return RNG.integers(-1, 2, count)
        case "sparse":
            return np.where(RNG.random(count) < 0.95, 0, RNG.integers(-127, 128, count))
        case "constant":
            return np.full(count, 5)
    return RNG.choice([-90, -3, 0, 17, 100], count)


def encoded(values: NDArray[np.integer]) -> bytes:
    from ethosu import mlw_codec

    return bytes(mlw_codec.encode(values.tolist()))


@pytest.mark.parametrize("count", [1, 13, 700, 40_000])
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_encoded(kind: str, count: int) -> None:
    from ethosu import mlw_codec

    values = weights(kind, count)
    stream = encoded(values)
    np.testing.assert_array_equal(decompressed(stream), values)
    assert mlw_codec.decode(bytearray(stream)) == values.tolist()


def test_streams_behind_each_other() -> None:
    first, second = weights("normal", 500), weights("sparse", 900)
    joined = decompressed(encoded(first) + b"\xff" * 16 + encoded(second))
    np.testing.assert_array_equal(joined, np.concatenate([first, second]))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_streams_end(kind: str) -> None:
    """Every result is numbers or a sentence."""
    stream = encoded(weights(kind, 400))
    told = set()
    for _ in range(60):
        damaged = bytearray(stream[: RNG.integers(1, len(stream) + 1)])
        damaged[RNG.integers(len(damaged))] ^= 1 << RNG.integers(8)
        try:
            assert decompressed(bytes(damaged)).dtype == np.int16
        except QgaitError as error:
            told.add(error.problem)
    assert told and all("weights that cannot be decompressed" in sentence for sentence in told)
