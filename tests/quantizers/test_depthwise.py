"""Networks with a kernel for each channel: recorded, calibrated, simulated and folded like any other."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from small_networks import clips
from torch import nn

from qgait.calibration.calibrate import calibrate
from qgait.export.checks import check_graph
from qgait.export.folding import fold
from qgait.export.operators import Conv2d, DepthwiseConv2d
from qgait.models.float_ops import FloatOps
from qgait.models.layers import Layer
from qgait.models.operators import Operators, T
from qgait.models.recorder import Recorder
from qgait.models.registry import macs
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.runtime import reference


class Light(nn.Module):
    """Separable convolutions of strides 1 and 2, the first of a single channel."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.alone = nn.Conv2d(1, 1, 3, padding=1)
        self.first = nn.Conv2d(1, 8, 3, 2, 1)
        self.each = nn.ModuleList(nn.Conv2d(8, 8, k, s, k // 2, groups=8) for k, s in ((3, 1), (5, 2), (7, 1)))
        self.mixed = nn.ModuleList(nn.Conv2d(8, 8, 1) for _ in self.each)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in self.each)
        for norm in self.norms:
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.running_mean, 0, 0.1)
        self.head = nn.Parameter(torch.randn(4, 8, 6))
        self.eval()

    def run(self, ops: Operators[T], frames: T) -> T:
        x = ops.conv(frames, "alone", self.alone)
        x = ops.conv(x, "first", self.first, activation="leaky_relu")
        for i, (each, mixed, norm) in enumerate(zip(self.each, self.mixed, self.norms, strict=True)):
            x = ops.conv(x, f"each{i}", each, norm, "relu" if i else "leaky_relu")
            x = ops.conv(x, f"mixed{i}", mixed, activation="relu")
        return ops.part_linear(ops.strip_pool(ops.frame_max(x, "max"), "strips", (4,)), "head", self.head)


@functools.cache
def layers() -> tuple[Layer, ...]:
    recorder = Recorder()
    Light().run(recorder, "silhouette")
    return tuple(recorder.layers)


@functools.cache
def network(bits: str) -> SimulatedNetwork:
    return calibrate("light", list(layers()), clips(2, 4), Recipe.parse(bits), "minmax")[0]


@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
def test_every_tensor_in_float64_equals_the_integers(bits: str) -> None:
    graph = fold(network(bits))
    check_graph(graph)
    kinds = [type(op) for op in graph.ops if op.name in ("alone", "first", "each0", "each1", "each2", "mixed0")]
    assert kinds == [Conv2d, Conv2d, DepthwiseConv2d, Conv2d, DepthwiseConv2d, DepthwiseConv2d]
    clip = clips(1, 5, seed=9)[0]
    expected = reference.trace(graph, clip)
    for name, codes in network(bits).trace(clip).items():
        np.testing.assert_array_equal(codes, expected[name], err_msg=name)
        assert len(np.unique(codes)) > 3, name


def test_the_integers_are_near_the_float_network() -> None:
    clip = torch.from_numpy(clips(1, 3, seed=4)[0])
    with torch.no_grad():
        levels = network("w8a8")(clip[None], torch.float64)[0] * network("w8a8").embedding_step()[:, None]
        exact = Light().run(FloatOps(), clip[None, :, None].float() / 255)[0]
    assert np.corrcoef(levels.ravel(), exact.ravel())[0, 1] > 0.99


def test_gradients_reach_every_kernel() -> None:
    net = calibrate("light", list(layers()), clips(2, 4), Recipe.parse("w4a4"), "minmax")[0]
    net(torch.from_numpy(clips(1, 2)[0])[None]).square().mean().backward()
    for name in ("each0", "each1", "each2"):
        gradient = net.weights[name].grad
        assert gradient is not None and gradient.shape[1] == 1 and gradient.abs().sum() > 0


def test_multiply_accumulates_are_counted_alike() -> None:
    graph = fold(network("w8a8"))
    assert macs(layers(), (64, 44)) == (graph.frame_macs, graph.clip_macs)


def test_other_groups_have_no_integer_form() -> None:
    recorder = Recorder()
    x = recorder.conv("silhouette", "a", nn.Conv2d(1, 4, 3))
    for conv in (nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(4, 4, 3, groups=2)):
        with pytest.raises(ValueError, match="grouped"):
            recorder.conv(x, "b", conv)
    with pytest.raises(ValueError, match="grouped"):
        recorder.conv3d(x, "b", nn.Conv3d(4, 4, (1, 3, 3), groups=4))
