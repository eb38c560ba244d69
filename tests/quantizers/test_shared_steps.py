"""What shares a step or a weight, how many bits it has, and that its gradients flow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from float_models import small_model
from quantized_backbones import TEMPORAL, quantized
from small_networks import clips

from qgait.calibration.bit_widths import weight_bits
from qgait.calibration.calibrate import some_frames
from qgait.models.backbone import describe
from qgait.models.layers import INPUT
from qgait.quantizers.float_arithmetic import FloatArithmetic
from qgait.quantizers.grid import Recipe
from qgait.quantizers.integer_arithmetic import IntegerArithmetic
from qgait.quantizers.parameters import parameter_key
from qgait.quantizers.simulated import SimulatedNetwork


@pytest.mark.parametrize("name", ["gaitpart", "gaitgl", "hstl"])
def test_maps_that_are_joined_share_one_step(name: str) -> None:
    net = quantized(name, "w4a4")
    joins = [layer for layer in net.layers if layer.kind == "concat" and len(net.shapes[layer.name]) == 3]
    assert joins
    for layer in joins:
        owners = {net.owners.of[origin] for origin in net.owners.origins(layer.name)}
        assert len(owners) == 1 and {net.grid(x) for x in layer.inputs} == {net.grid(layer.name)}
        assert parameter_key(owners.pop()) in net.steps


def test_shared_convolutions_have_one_weight_and_equal_requantizations() -> None:
    net = quantized("gaitpart")
    shared = [layer for layer in net.layers if layer.shares]
    assert len(shared) == 2 * 3 + 2 * 7 and not any(layer.name in net.weights for layer in shared)
    by_name = {layer.name: layer for layer in net.layers}
    for layer in shared:
        first = by_name[layer.shares]
        for function in (net.weight_integers, net.bias_integers, net.multiplier):
            np.testing.assert_array_equal(function(layer).detach(), function(first).detach())


def test_parts_that_are_added_and_parts_behind_tables_have_one_step() -> None:
    net = quantized("gaitpart")
    for name in ("motion3", "motion5", "motion", "motion3_gate", "motion3_gate.pre"):
        assert net.steps[parameter_key(net.owners.of[name])].ndim == 0
        assert net.step(name).shape == (16,) and len(set(net.step(name).tolist())) == 1
    assert net.steps["motion3_pool"].shape == (16,) and net.steps["embedding"].shape == (16,)


def test_convolutions_over_time_read_narrow_tensors_and_gates_stay_wide() -> None:
    net = quantized("gaitpart", "w4a4")
    narrow = {"strips", "motion3_squeeze", "motion5_squeeze", "conv5_region1"}
    wide = {"motion3_gate", "motion5_gate", "motion3_pool", "motion3", "motion", "embedding"}
    for name in narrow:
        assert net.grid(name).hi - net.grid(name).lo == 15, name
    for name in wide:
        assert net.grid(name).hi - net.grid(name).lo == 255, name
    assert all(net.grid(name).hi - net.grid(name).lo == 255 for name in net.grids if name.endswith(".pre"))


@pytest.mark.parametrize("name", TEMPORAL)
def test_only_the_first_convolution_and_the_embedding_keep_eight_bits(name: str) -> None:
    layers = describe(small_model(name))
    bits = weight_bits(layers, Recipe.parse("w4a4"))
    computed = [layer.name for layer in layers if layer.weight is not None]
    assert [key for key in computed if bits[key] == 8] == [computed[0], "embedding"]


def test_calibration_looks_at_neighbouring_frames_where_layers_do() -> None:
    clip = np.arange(40, dtype=np.uint8)[:, None, None]
    assert some_frames(describe(small_model("hstl")), clip).ravel().tolist() == list(range(14, 26))
    assert some_frames(describe(small_model("gaitset")), clip).ravel().tolist()[::11] == [0, 39]
    assert len(some_frames(describe(small_model("hstl")), clip[:5])) == 12


def test_biases_that_are_shared_are_corrected_for_all_bands_at_once() -> None:
    """The mean over the bands is that of the float network, but for the rounding of the bias; single bands' are not."""
    net = quantized("gaitgl", "w4a4", "mse")
    sums: dict[str, dict[str, torch.Tensor]] = {"float": {}, "fake": {}}

    class Watched(IntegerArithmetic):
        def requantize(self, layer, acc, bias):  # type: ignore[no-untyped-def]
            if bias is not None and acc.ndim == 4:
                total = (acc + bias.to(acc.dtype).view(1, -1, 1, 1)).mean((0, 2, 3)) * self.net.accumulator_step(layer)
                sums["fake"][layer.name] = total
            return super().requantize(layer, acc, bias)

    def watch(name: str, value: torch.Tensor) -> None:
        if value.ndim == 4:
            sums["float"][name.removesuffix(".pre")] = value.mean((0, 2, 3)).double()

    frames = torch.from_numpy(np.stack([some_frames(net.layers, clip) for clip in clips(2, 8)]))
    with torch.no_grad():
        run(net, frames, FloatArithmetic(watch))
        run(net, frames.float(), Watched(net, torch.float32))
    bands = [
        layer.name for layer in net.layers if layer.kind == "conv" and layer.name.startswith("glA0_1_local_region")
    ]
    assert len(bands) == 8
    error = torch.stack([sums["fake"][name] - sums["float"][name] for name in bands])
    half = net.accumulator_step(next(layer for layer in net.layers if layer.name == bands[0])).detach() / 2
    assert (error.mean(0).abs() < half * 1.01).all() and (error.abs() > half * 2).any()


def run(net: SimulatedNetwork, frames: torch.Tensor, arithmetic: object) -> None:
    from qgait.quantizers import traversal

    traversal.run(net.layers, frames, arithmetic)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
@pytest.mark.parametrize("name", TEMPORAL)
def test_gradients_reach_every_weight_and_step(name: str, bits: str) -> None:
    net = quantized(name, bits)
    lengths = [3, 6]
    integers = net(torch.from_numpy(np.concatenate([clips(1, n)[0] for n in lengths]))[None], lengths=lengths)
    (integers * net.embedding_step().float()[:, None]).square().mean().backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().sum() > 0, key
    net.zero_grad(set_to_none=True)


def test_the_gradient_of_a_generalized_mean_is_that_of_the_float_one() -> None:
    net = quantized("gaitgl")
    layer = next(layer for layer in net.layers if layer.kind == "gem_pool")
    shape, grid = net.shapes[layer.inputs[0]], net.grid(layer.inputs[0])
    x = torch.randint(0, grid.max_integer // 2, (2, *shape), generator=torch.Generator().manual_seed(0)).float()
    ours, theirs = x.clone().requires_grad_(), x.clone().double().requires_grad_()
    weight = torch.rand(2, shape[1], shape[0])
    (IntegerArithmetic(net, torch.float32).gem_pool(layer, ours) * weight).sum().backward()
    real = FloatArithmetic().gem_pool(layer, theirs * net.step(layer.inputs[0]).item())
    (real / net.step(layer.name).detach()[:, None] * weight).sum().backward()
    assert ours.grad is not None and theirs.grad is not None
    inside = (ours.grad != 0).double()
    assert inside.mean() > 0.5
    torch.testing.assert_close(ours.grad.double(), theirs.grad * inside)


def test_the_silhouette_keeps_its_grid_through_windows() -> None:
    net = quantized("gaitgl")
    first = net.layers[0]
    assert first.kind == "window" and first.inputs == (INPUT,)
    assert net.grid(first.name) == net.grid(INPUT) and net.step(first.name) == net.step(INPUT)
