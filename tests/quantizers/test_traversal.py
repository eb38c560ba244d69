"""Clips of several lengths through the simulated network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from example_graphs import silhouettes
from small_networks import network

LENGTHS = [2, 4, 1]


def clips() -> list[torch.Tensor]:
    return [torch.from_numpy(silhouettes(n, 30 + i))[None] for i, n in enumerate(LENGTHS)]


@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_clip_has_the_integers_that_it_has_alone(name: str, bits: str, dtype: torch.dtype) -> None:
    net = network(name, bits)
    with torch.no_grad():
        alone = torch.cat([net(clip, dtype) for clip in clips()])
        together = net(torch.cat(clips(), dim=1), dtype, lengths=LENGTHS)
    np.testing.assert_array_equal(together.numpy(), alone.numpy())
    assert len(np.unique(alone.numpy(), axis=0)) == 3


def test_gradients_are_those_of_the_clips_alone() -> None:
    net = network("gaitset", "w4a4")
    scale = torch.arange(3.0, dtype=torch.float64)[:, None, None] + 1
    gradients = []
    for integers in (
        torch.cat([net(clip, torch.float64) for clip in clips()]),
        net(torch.cat(clips(), dim=1), torch.float64, lengths=LENGTHS),
    ):
        gradients.append(torch.autograd.grad((integers * scale).square().sum(), list(net.weights.values())))
    for alone, together in zip(*gradients, strict=True):
        assert (together - alone).norm() < 1e-6 * alone.norm()


def test_lengths_and_chunks_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="give lengths or chunk"):
        network("gaitset")(torch.zeros(1, 7, 64, 44), chunk=2, lengths=LENGTHS)
