"""Simulated quantization against the integer graph that is folded from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import clips, layers, network

from qgait.calibration.calibrate import calibrate
from qgait.export.folding import fold
from qgait.export.operators import Conv2d, Table
from qgait.fixedpoint import decode_multiplier
from qgait.quantizers import float_arithmetic, model_file
from qgait.quantizers.grid import Recipe
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.runtime import reference

CASES = [(name, bits) for name in ("gaitset", "gaitbase") for bits in ("w8a8", "w4a4", "w2a2", "w3a6")]
WIDTHS = [f"w{bits}a{bits}" for bits in (3, 5, 6, 7)] + ["w4a8", "w2a8", "w8a2", "w7a3"]


@pytest.mark.parametrize(("name", "bits"), CASES)
def test_every_tensor_in_float64_equals_the_integers(name: str, bits: str) -> None:
    net = network(name, bits)
    graph = fold(net)
    for clip in clips(2, 5, seed=50):
        expected = reference.trace(graph, clip)
        actual = net.trace(clip)
        assert set(actual) == set(expected) - {graph.input}
        for tensor, codes in actual.items():
            np.testing.assert_array_equal(codes, expected[tensor].reshape(codes.shape), err_msg=tensor)
        assert len(np.unique(expected[graph.output])) > 20


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
def test_other_widths_give_the_integers_embeddings(name: str, bits: str) -> None:
    net = network(name, bits)
    integers = {int(net.weight_integers(layer).abs().max()) for layer in net.layers if layer.weight is not None}
    assert integers == {127, 2 ** (net.recipe.weights - 1) - 1}
    _embeddings_are_the_integers(net)


@pytest.mark.parametrize("bits", ["w4a4", "w2a8", "w2a2"])
@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
def test_first_and_last_layer_may_have_the_bits_of_the_others(name: str, bits: str, tmp_path: Path) -> None:
    recipe = replace(Recipe.parse(bits), first_last="same")
    net, _ = calibrate(name, list(layers(name)), clips(), recipe)
    assert set(net.weight_bits.values()) == {recipe.weights}
    limit = 2 ** (recipe.weights - 1) - 1
    assert all(net.weight_integers(layer).abs().max() == limit for layer in net.layers if layer.weight is not None)
    model_file.save(net, tmp_path / "m.safetensors")
    again = model_file.load(tmp_path / "m.safetensors")
    assert again.recipe == recipe and again.weight_bits == net.weight_bits
    _embeddings_are_the_integers(again)


def _embeddings_are_the_integers(net: SimulatedNetwork) -> None:
    runtime = reference.Reference(fold(net))
    for clip in clips(2, 5, seed=50):
        np.testing.assert_array_equal(net.embed(clip, torch.float64), runtime.embed(clip))


@pytest.mark.parametrize(("name", "bits"), CASES)
def test_codes_stay_on_their_grids(name: str, bits: str) -> None:
    net = network(name, bits)
    for tensor, codes in net.trace(clips(1)[0]).items():
        grid = net.grid(tensor)
        assert codes.min() >= grid.lo and codes.max() <= grid.hi, tensor


def test_float32_differs_in_fewer_than_one_code_in_a_thousand() -> None:
    net = network("gaitset")
    graph = fold(net)
    runtime = reference.Reference(graph)
    different = total = 0
    for clip in clips(6, 8, seed=70):
        expected = runtime.embed(clip)
        different += np.count_nonzero(net.embed(clip) != expected)
        total += expected.size
    assert different <= total / 1000


def test_chunks_of_frames_give_the_codes_of_the_whole_clip() -> None:
    net = network("gaitset")
    frames = torch.from_numpy(clips(1, 7)[0])[None]
    with torch.no_grad():
        whole = net(frames, torch.float64)
        for chunk in (1, 2, 3, 7):
            np.testing.assert_array_equal(net(frames, torch.float64, chunk).numpy(), whole.numpy())


def test_folded_multipliers_are_those_of_the_simulation() -> None:
    net = network("gaitbase")
    for op in fold(net).ops:
        if isinstance(op, Conv2d):
            layer = next(layer for layer in net.layers if layer.name == op.name)
            np.testing.assert_array_equal(
                decode_multiplier(op.requant.multiplier, op.requant.shift), net.multiplier(layer).detach().numpy()
            )


def test_multipliers_are_those_of_the_integer_rule() -> None:
    net = network("gaitset")
    for layer in net.layers:
        if layer.kind != "conv":
            continue
        s_in, s_out = net.step(layer.inputs[0]).item(), net.step(f"{layer.name}.pre").item()
        exactly = s_in * net.weight_steps[layer.name].detach().numpy().astype(np.float64) / s_out
        np.testing.assert_array_equal(net.multiplier(layer).detach().numpy(), exactly.astype(np.float32))


def test_the_leaky_table_rises_and_its_positive_side_is_nearly_linear() -> None:
    for op in fold(network("gaitset")).ops:
        if isinstance(op, Table):
            assert (np.diff(op.table.astype(int)) >= 0).all()
            assert len(np.unique(op.table)) > 50


@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
def test_eight_bits_are_close_to_float_and_fewer_bits_are_further(name: str) -> None:
    clip = clips(1, 6, seed=90)[0]
    exact = float_arithmetic.embed(network(name).layers, clip)
    errors = []
    for bits in ("w8a8", "w4a4", "w2a2"):
        net = network(name, bits)
        real = net.embed(clip).astype(float) * net.embedding_step().detach().numpy()[:, None]
        errors.append(np.linalg.norm(real - exact) / np.linalg.norm(exact))
    assert errors[0] < 0.06
    assert errors[0] < errors[1] < errors[2]


def test_gradients_reach_every_weight_and_step() -> None:
    net = network("gaitset", "w4a4", seed=3)
    integers = net(torch.from_numpy(np.stack(clips(2, 3))))
    (integers * net.embedding_step().float()[:, None]).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        if "steps" in name or "weights" in name:
            assert parameter.grad.abs().sum() > 0, name
    net.zero_grad(set_to_none=True)


def test_step_gradients_are_those_of_lsq() -> None:
    """d(step * integer)/d(step) is integer - x/step inside the grid, the limit outside (Esser et al., equation 3)."""
    from qgait.quantizers.rounding import half_up

    x = torch.tensor([-9.0, -1.3, 0.2, 0.75, 2.6, 30.0], dtype=torch.float64)
    step = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    (step * torch.clamp(half_up(x / step), -8, 7)).sum().backward()
    scaled = x / 0.5
    inside = (scaled > -8) & (scaled < 7)
    expected = torch.where(inside, torch.floor(scaled + 0.5) - scaled, torch.where(scaled < 0, -8.0, 7.0).double())
    assert step.grad is not None
    torch.testing.assert_close(step.grad, expected.sum())
