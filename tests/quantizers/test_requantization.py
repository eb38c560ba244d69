"""The fused steps from accumulators to integers against separate operations, finite differences and formulas."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import plain_integers
import pytest
import torch
from quantized_backbones import quantized
from small_networks import clips, network
from torch import Tensor

from qgait.errors import QgaitError
from qgait.quantizers import requantization
from qgait.quantizers.integer_arithmetic import IntegerArithmetic
from qgait.quantizers.requantization import Requantization, Rounding, requantize, requantize_sum
from qgait.quantizers.simulated import SimulatedNetwork
from qgait.quantizers.surrogates import (
    ClipLearning,
    ElementWiseScaling,
    Sine,
    Soft,
    StraightThrough,
    Surrogate,
    Surrogates,
    dsq,
)

ALL: list[Surrogate] = [StraightThrough(), Soft(4), Sine(0.9), dsq(0.2), ElementWiseScaling(2), ClipLearning()]
KINDS = [type(surrogate).__name__ for surrogate in ALL]
LOW, HIGH = -3, 7


@pytest.fixture(autouse=True)
def many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tensors are cut as large ones are."""
    monkeypatch.setattr(requantization, "PIECE", 2**10)


def _gradients(net: SimulatedNetwork, integers: Tensor) -> dict[str, Tensor]:
    net.zero_grad(set_to_none=True)
    (integers * net.embedding_step().to(integers.dtype)[:, None]).square().mean().backward()
    result = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad(set_to_none=True)
    return result


@pytest.mark.parametrize("surrogate", ALL, ids=KINDS)
@pytest.mark.parametrize(("name", "bits"), [("gaitset", "w4a4"), ("gaitbase", "w4a4"), ("gaitset", "w8a8")])
def test_a_network_has_the_gradients_of_separate_operations(name: str, bits: str, surrogate: Surrogate) -> None:
    """In float64 the parameters' float32 gradients agree to the last digits, sums being taken in another order."""
    net = network(name, bits, seed=7)
    frames = torch.from_numpy(np.stack(clips(2, 3)))
    net.surrogates = Surrogates(StraightThrough() if surrogate.clip_only else surrogate, surrogate)
    try:
        integers, plain = net(frames, torch.float64), plain_integers.forward(net, frames, torch.float64)
        assert torch.equal(integers, plain)
        fused, separate = _gradients(net, integers), _gradients(net, plain)
    finally:
        net.surrogates = Surrogates()
    assert set(fused) == set(separate) == {key for key, _ in net.named_parameters()}
    for key, wanted in separate.items():
        torch.testing.assert_close(fused[key], wanted, rtol=1e-6, atol=1e-12, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("name", ["gaitpart", "deepgaitv2", "deepgaitv2-3d"])
def test_networks_over_time_have_the_gradients_of_separate_operations(name: str) -> None:
    """Windows, gates, means over time, shared weights: what the networks above do not have."""
    net = quantized(name, "w4a4")
    frames = torch.from_numpy(np.stack(clips(2, 5)))
    integers, plain = net(frames, torch.float64), plain_integers.forward(net, frames, torch.float64)
    assert torch.equal(integers, plain) and len(integers.unique()) > 5
    fused, separate = _gradients(net, integers), _gradients(net, plain)
    assert set(fused) == set(separate) == {key for key, _ in net.named_parameters()}
    for key, wanted in separate.items():
        assert float(wanted.abs().sum()) > 0, key
        torch.testing.assert_close(fused[key], wanted, rtol=1e-6, atol=1e-12, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_integers_are_those_of_separate_operations_with_and_without_gradients(name: str, dtype: torch.dtype) -> None:
    for bits in ("w2a2", "w4a4", "w8a8"):
        net = network(name, bits)
        frames = torch.from_numpy(clips(1, 4, seed=9)[0])[None]
        assert torch.equal(net(frames, dtype), plain_integers.forward(net, frames, dtype))
        with torch.no_grad():
            assert torch.equal(net(frames, dtype), plain_integers.forward(net, frames, dtype))


def test_gradients_in_float32_and_bfloat16_are_near_those_in_float64() -> None:
    net = network("gaitset", "w4a4", seed=7)
    frames = torch.from_numpy(np.stack(clips(2, 3)))
    exact = _gradients(net, net(frames, torch.float64))
    for dtype, limit in ((torch.float32, 2e-3), (torch.bfloat16, 0.2)):
        actual = _gradients(net, net(frames, dtype).float())
        for key, wanted in exact.items():
            if key.startswith("weights"):
                assert float((actual[key] - wanted).norm() / wanted.norm()) < limit, (key, dtype)


def test_bfloat16_levels_are_mostly_the_integers() -> None:
    net = network("gaitset", "w4a4")
    frames = torch.from_numpy(np.stack(clips(4, 4)))
    integers, exact = net(frames, torch.bfloat16), net(frames, torch.float64)
    assert integers.dtype == torch.bfloat16
    assert torch.equal(integers.float(), integers.float().round())
    assert (integers - exact).abs().mean() < exact.abs().mean() / 10


def test_float16_is_refused() -> None:
    net = network("gaitset")
    with pytest.raises(QgaitError, match="Accumulators are too large"):
        net(torch.zeros(1, 1, 64, 44), torch.float16)


# One function alone ------------------------------------------------------------------------------------------------


def _h(u: Tensor, surrogate: Surrogate, sign: Tensor) -> Tensor:
    """The function whose slope the surrogate is, for gradients of this ``sign``; flat where values are clipped."""
    reach = 0 if surrogate.clip_only else 0.5
    u = torch.clamp(u, LOW - reach, HIGH + reach)
    f = u - torch.floor(u)
    match surrogate:
        case Soft():
            return torch.floor(u) + 0.5 + torch.tanh(surrogate.k * (f - 0.5)) / (2 * math.tanh(surrogate.k / 2))
        case Sine():
            return u - surrogate.amplitude * torch.sin(2 * math.pi * u) / (2 * math.pi)
        case ElementWiseScaling():
            return u + sign * surrogate.delta / (HIGH - LOW) * (u - torch.floor(u + 0.5)).square() / 2
    return u


def _values() -> dict[str, Tensor]:
    """Accumulators [50, 6] that reach well over both ends, and vectors [6], all in float64."""
    generator = torch.Generator().manual_seed(1)
    acc = torch.randn(50, 6, generator=generator, dtype=torch.float64) * 60
    bias = torch.randn(6, generator=generator, dtype=torch.float64) * 20
    multiplier = torch.rand(6, generator=generator, dtype=torch.float64) / 20 + 0.03
    return {"acc": acc, "bias": bias, "multiplier": multiplier}


UNIT = torch.ones(6, dtype=torch.float64)
MIX = torch.randn(50, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("surrogate", ALL, ids=KINDS)
def test_every_gradient_is_a_finite_difference_of_the_surrogate(surrogate: Surrogate) -> None:
    values = {key: value.requires_grad_() for key, value in _values().items()}
    how = Requantization(Rounding(LOW, HIGH, surrogate), None, torch.float64, torch.float64)
    integers = requantize(values["acc"], values["bias"], values["multiplier"], None, UNIT, how)
    (integers * MIX).sum().backward()

    def soft(**changed: Tensor) -> Tensor:
        v = {key: value.detach() for key, value in values.items()} | changed
        return _h((v["acc"] + v["bias"]) * v["multiplier"], surrogate, MIX.sign()) * MIX

    for key, value in values.items():
        eps = 1e-7 * value.detach().abs().max()
        by_difference = (soft(**{key: value.detach() + eps}) - soft(**{key: value.detach() - eps})) / (2 * eps)
        wanted = by_difference if value.ndim == 2 else by_difference.sum(0)
        assert value.grad is not None
        torch.testing.assert_close(value.grad, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("surrogate", ALL, ids=KINDS)
def test_the_ratio_before_a_table_gets_a_finite_difference(surrogate: Surrogate) -> None:
    """Integers before the table are hard; what the ratio of the steps makes of them is the surrogate's."""
    values = _values()
    before = Rounding(-20, 40, StraightThrough())
    ratio = torch.linspace(0.11, 0.37, 6, dtype=torch.float64, requires_grad=True)
    how = Requantization(Rounding(LOW, HIGH, surrogate), before, torch.float64, torch.float64)
    integers = requantize(values["acc"], values["bias"], values["multiplier"], ratio, UNIT, how)
    (integers * MIX).sum().backward()
    hard = before.round_((values["acc"] + values["bias"]) * values["multiplier"])
    leaky = torch.where(hard > 0, hard, hard * 0.01)
    assert torch.equal(integers, torch.clamp(torch.floor(leaky * ratio + 0.5), LOW, HIGH))
    ends = [_h(leaky * (ratio.detach() + sign * 1e-7), surrogate, MIX.sign()) * MIX for sign in (1, -1)]
    assert ratio.grad is not None
    torch.testing.assert_close(ratio.grad, ((ends[0] - ends[1]) / 2e-7).sum(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("surrogate", ALL, ids=KINDS)
def test_an_addition_has_finite_differences_of_the_real_ratio(surrogate: Surrogate) -> None:
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.randint(-9, 30, (50, 6), generator=generator).double().requires_grad_() for _ in range(2))
    real_a, real_b = (torch.full((6,), value, dtype=torch.float64, requires_grad=True) for value in (0.1307, 0.2614))
    how = Requantization(Rounding(LOW, HIGH, surrogate), None, torch.float64, torch.float64)
    multiplier = torch.tensor(0.1307, dtype=torch.float64)
    (requantize_sum(a, b, real_a, real_b, UNIT, (1, 2), multiplier, how) * MIX).sum().backward()
    leaves = (a, b, real_a, real_b)
    for index, leaf in enumerate(leaves):
        ends = []
        for eps in (1e-6, -1e-6):
            x = [value.detach() + (eps if at == index else 0) for at, value in enumerate(leaves)]
            ends.append(_h(x[0] * x[2] + x[1] * x[3], surrogate, MIX.sign()) * MIX)
        wanted = (ends[0] - ends[1]) / 2e-6
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad, wanted if leaf.ndim == 2 else wanted.sum(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("surrogate", ALL, ids=KINDS)
def test_saturated_values_get_no_gradient_and_the_ends_of_the_grid_do(surrogate: Surrogate, dtype: torch.dtype) -> None:
    reach = 0 if surrogate.clip_only else 0.5
    low, high = LOW - reach, HIGH + reach
    u = torch.tensor([[-1e9, low - 0.4, low - 0.001, low, low + 0.1, 0.2, high - 0.1, high, high + 0.001, 1e9]]).to(
        dtype
    )
    acc = u.clone().requires_grad_()
    ones = torch.ones(u.shape[1], dtype=dtype)
    how = Requantization(Rounding(LOW, HIGH, surrogate), None, dtype, dtype)
    requantize(acc, None, ones, None, ones, how).sum().backward()
    assert acc.grad is not None
    assert (acc.grad != 0).tolist()[0] == [False] * 3 + [True] * 5 + [False] * 2


def test_the_ends_of_a_grid_that_begins_at_zero_belong_to_it() -> None:
    for dtype in (torch.float32, torch.float64):
        u = torch.tensor([-1e-30, 0.0, 1e-30, 15.0, 15.4999, 15.5001], dtype=dtype)
        assert Rounding(0, 15, StraightThrough()).inside(torch.ones_like(u), u).tolist() == [0, 1, 1, 1, 1, 0]
        u = torch.tensor([-1e-30, 0.0, 1e-30, 15.0, 15.0001], dtype=dtype)
        assert Rounding(0, 15, ClipLearning()).inside(torch.ones_like(u), u).tolist() == [0, 1, 1, 1, 0]


def test_pact_learns_its_clip_from_clipped_values_alone() -> None:
    """dy/dalpha is 1 for x >= alpha and 0 below (Choi et al., 2018, equation 3); alpha = step * integers."""
    step = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([[-5.0, 0.3, 1.05, 2.7, 2.9, 50.0]], dtype=torch.float64, requires_grad=True)
    how = Requantization(Rounding(0, HIGH, ClipLearning()), None, torch.float64, torch.float64)
    multiplier, unit = (1 / step).expand(6), (step / step.detach()).expand(6)
    integers = requantize(x, None, multiplier, None, unit, how)
    assert torch.equal(integers, torch.clamp(torch.floor(x / 0.4 + 0.5), 0, HIGH))
    (step * integers).sum().backward()
    assert step.grad is not None and x.grad is not None
    assert step.grad.item() == pytest.approx(2 * HIGH)  # two values above alpha = 2.8, HIGH = d alpha / d step
    torch.testing.assert_close(x.grad, torch.tensor([[0.0, 1, 1, 1, 0, 0]], dtype=torch.float64))


def test_the_value_before_a_table_is_always_straight_through() -> None:
    net = network("gaitset", "w4a4", seed=6)
    net.surrogates = Surrogates(activations=Soft(4))
    try:
        how = IntegerArithmetic(net, torch.float32).how("set_block1_conv1", "set_block1_conv1.pre")
    finally:
        net.surrogates = Surrogates()
    assert how.last.surrogate == Soft(4)
    assert how.before_table is not None and how.before_table.surrogate == StraightThrough()


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 2, (0, 0, 0, 0)), (3, 2, (1, 1, 1, 1)), (3, 1, (0, 1, 2, 1))]
)
def test_convolutions_are_plain_ones(kernel: int, stride: int, padding: tuple[int, int, int, int]) -> None:
    """A strided 1 x 1 convolution is computed on fewer pixels, padding inside the convolution where it is symmetric."""
    net = copy.deepcopy(network("gaitbase", "w4a4"))
    layer = next(layer for layer in net.layers if layer.name == "layer2_conv1")
    weight = torch.randn(12, 8, kernel, kernel, generator=torch.Generator().manual_seed(4))
    layer = replace(layer, weight=weight, stride=(stride, stride), padding=padding)
    net.weights[layer.name] = torch.nn.Parameter(weight / 10)
    frames = torch.randint(0, 16, (3, 8, 7, 9), generator=torch.Generator().manual_seed(5)).double()
    results = []
    for arithmetic in (IntegerArithmetic(net, torch.float64), plain_integers.PlainArithmetic(net, torch.float64)):
        x = frames.clone().requires_grad_()
        y = arithmetic.conv(layer, x)
        y.square().sum().backward()
        assert x.grad is not None
        results.append((y.detach(), x.grad))
    assert len(results[0][0].unique()) > 3
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])
