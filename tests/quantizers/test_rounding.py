"""Rounding forward on the hard grid, backward as each surrogate says: finite differences, limits, tables."""

from __future__ import annotations

import math

import pytest
import torch
from small_networks import clips, network
from torch import Tensor

from qgait.errors import QgaitError
from qgait.quantizers.grid import weight_limit
from qgait.quantizers.rounding import half_up, round_clip
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

LOW, HIGH = -3, 7
SURROGATES: list[Surrogate] = [StraightThrough(), Soft(0), Soft(2), Soft(6), Sine(0.9), ElementWiseScaling(2)]
BENT: list[Surrogate] = [Soft(0.01), Soft(1), Soft(4), Soft(10), Sine(0.5), Sine(1), dsq(0.2)]


def values(count: int = 2001) -> Tensor:
    """From well below the grid to well above it, never on an integer or half way between two."""
    return torch.linspace(-6.03, 10.07, count, dtype=torch.float64)


def h(u: Tensor, surrogate: Surrogate) -> Tensor:
    """The function whose slope the surrogate is, over what is rounded to LOW .. HIGH without a clip."""
    u = torch.clamp(u, LOW - 0.5, HIGH + 0.5)
    f = u - torch.floor(u)
    if isinstance(surrogate, Soft):
        return torch.floor(u) + 0.5 + torch.tanh(surrogate.k * (f - 0.5)) / (2 * math.tanh(surrogate.k / 2))
    assert isinstance(surrogate, Sine)
    return u - surrogate.amplitude * torch.sin(2 * math.pi * u) / (2 * math.pi)


def slope(u: Tensor, surrogate: Surrogate, eps: float = 1e-6) -> Tensor:
    return (h(u + eps, surrogate) - h(u - eps, surrogate)) / (2 * eps)


def gradient(u: Tensor, surrogate: Surrogate, weight: Tensor | None = None) -> Tensor:
    u = u.clone().requires_grad_()
    out = round_clip(u, LOW, HIGH, surrogate)
    (out * (torch.ones_like(u) if weight is None else weight)).sum().backward()
    assert u.grad is not None
    return u.grad


@pytest.mark.parametrize("surrogate", [*SURROGATES, ClipLearning()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_is_the_hard_grid_whatever_the_surrogate(surrogate: Surrogate, dtype: torch.dtype) -> None:
    u = torch.cat([values().to(dtype), torch.arange(-8, 12, 0.5, dtype=dtype)])
    expected = torch.clamp(torch.floor(u + 0.5), LOW, HIGH)
    assert torch.equal(round_clip(u, LOW, HIGH, surrogate), expected)


@pytest.mark.parametrize("surrogate", BENT)
def test_input_gradients_are_finite_differences_of_the_surrogate(surrogate: Surrogate) -> None:
    torch.testing.assert_close(gradient(values(), surrogate), slope(values(), surrogate), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("surrogate", BENT)
def test_step_gradients_are_finite_differences_with_the_hard_integer_in_front(surrogate: Surrogate) -> None:
    """The real value is ``step * integer``: the integer itself is hard, its change with the step is the surrogate's."""
    x = values() * 0.37
    step = torch.tensor(0.37, dtype=torch.float64, requires_grad=True)
    (step * round_clip(x / step, LOW, HIGH, surrogate)).sum().backward()
    hard = torch.clamp(torch.floor(x / 0.37 + 0.5), LOW, HIGH).sum()
    soft = [(0.37 * h(x / (0.37 + sign * 1e-7), surrogate)).sum() for sign in (1, -1)]
    expected = hard + (soft[0] - soft[1]) / 2e-7
    assert step.grad is not None
    torch.testing.assert_close(step.grad, expected, rtol=1e-5, atol=1e-3)


def test_sharpness_zero_is_straight_through_bit_for_bit() -> None:
    weight = torch.randn(2001, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for dtype in (torch.float32, torch.float64):
        u, w = values().to(dtype), weight.to(dtype)
        assert torch.equal(gradient(u, Soft(0), w), gradient(u, StraightThrough(), w))
        inside = (u >= LOW - 0.5) & (u <= HIGH + 0.5)
        assert torch.equal(gradient(u, StraightThrough(), w), torch.where(inside, w, 0))


def test_a_network_trained_with_sharpness_zero_gets_the_same_gradients_bit_for_bit() -> None:
    net = network("gaitset", "w4a4", seed=5)
    grads = []
    for surrogate in (StraightThrough(), Soft(0), Soft(4)):
        net.zero_grad(set_to_none=True)
        net.surrogates = Surrogates(surrogate, surrogate)
        net(torch.from_numpy(clips(1, 2)[0])[None]).square().sum().backward()
        grads.append({name: p.grad.clone() for name, p in net.named_parameters()})
    net.zero_grad(set_to_none=True)
    net.surrogates = Surrogates()
    assert all(torch.equal(grads[0][name], grads[1][name]) for name in grads[0])
    assert not any(torch.equal(grads[0][name], grads[2][name]) for name in grads[0] if name.startswith("weights"))


@pytest.mark.parametrize("surrogate", [*BENT, StraightThrough(), Soft(50), ElementWiseScaling(1)])
def test_the_mean_factor_over_a_bin_is_one(surrogate: Surrogate) -> None:
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000 + 2
    assert gradient(u, surrogate).mean().item() == pytest.approx(1, abs=1e-6)


# k, g at the grid, g half way, E[g^2], E[ln g]
STATISTICS = [
    (1, 0.851, 1.08, 1.005, -0.003),
    (2, 0.551, 1.31, 1.059, -0.033),
    (4, 0.147, 2.07, 1.432, -0.286),
    (6, 0.030, 3.02, 2.020, -0.783),
    (8, 0.0054, 4.00, 2.670, -1.432),
    (10, 9e-4, 5.00, 3.334, -2.169),
    (20, 8e-8, 10.0, 6.667, -6.393),
]


@pytest.mark.parametrize(("k", "least", "most", "square", "log"), STATISTICS)
def test_moments_of_the_soft_gradient(k: float, least: float, most: float, square: float, log: float) -> None:
    f = torch.linspace(0, 1, 400_001, dtype=torch.float64)[:-1]
    g = gradient(f + 1, Soft(k))
    assert g[0].item() == pytest.approx(least, rel=0.05)
    assert g[0].item() == pytest.approx(k / math.sinh(k), rel=1e-9)
    assert g.max().item() == pytest.approx(most, rel=0.005)
    exact = k / 2 * (1 / math.tanh(k / 2) - math.tanh(k / 2) / 3)
    assert g.square().mean().item() == pytest.approx(exact, rel=1e-6)
    assert exact == pytest.approx(square, abs=1e-3)
    assert g.log().mean().item() == pytest.approx(log, abs=1e-3)


@pytest.mark.parametrize(("amplitude", "square", "log"), [(0.5, 1.125, -0.069), (0.9, 1.405, -0.331)])
def test_moments_of_the_sine_gradient(amplitude: float, square: float, log: float) -> None:
    g = gradient(torch.linspace(1, 2, 100_001, dtype=torch.float64)[:-1], Sine(amplitude))
    assert g.min().item() == pytest.approx(1 - amplitude) and g.max().item() == pytest.approx(1 + amplitude)
    assert g.square().mean().item() == pytest.approx(square, abs=1e-3)
    assert g.log().mean().item() == pytest.approx(log, abs=1e-3)


@pytest.mark.parametrize("k", [1e-6, 1e-3, 100.0, 1e4, 1e8])
def test_extreme_sharpness_stays_finite(k: float) -> None:
    for dtype in (torch.float32, torch.float64):
        g = gradient(values().to(dtype), Soft(k))
        assert torch.isfinite(g).all() and (g >= 0).all()
    if k < 1e-2:
        torch.testing.assert_close(
            gradient(values(), Soft(k)), gradient(values(), StraightThrough()), rtol=0, atol=1e-3
        )


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_saturated_values_get_no_gradient(surrogate: Surrogate) -> None:
    u = torch.tensor([-1e9, -3.6, -3.4, -3.001, -2.9, 0.2, 6.9, 7.001, 7.4, 7.6, 1e9])
    assert (gradient(u, surrogate) != 0).tolist() == [False, False, *[True] * 7, False, False]


def test_the_clip_of_pact_is_the_last_integer_itself() -> None:
    u = torch.tensor([-3.4, -3.001, -2.9, 0.2, 6.9, 7.001, 7.4])
    assert (gradient(u, ClipLearning()) != 0).tolist() == [False, False, True, True, True, False, False]


def test_below_a_grid_that_begins_at_zero_a_relu_cuts() -> None:
    u = torch.tensor([-0.4, -0.001, 0.0, 0.4, 3.4, 3.6], requires_grad=True)
    round_clip(u, 0, 3, StraightThrough()).sum().backward()
    assert u.grad is not None and u.grad.tolist() == [0, 0, 1, 1, 1, 0]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_largest_weight_of_a_step_that_clips_nothing_can_move(bits: int) -> None:
    """Max / (max / limit) is above the limit for many a float32; such a weight is at the end, not beyond it."""
    limit = weight_limit(bits)
    largest = torch.rand(4096, generator=torch.Generator().manual_seed(0)) + 0.01
    u = (largest / (largest / limit)).requires_grad_()
    round_clip(u, -limit, limit, StraightThrough()).sum().backward()
    assert u.grad is not None and bool((u.grad == 1).all())


def test_ewgs_is_its_formula() -> None:
    grad = torch.tensor([2.0, -2.0, 2.0, -2.0])
    u = torch.tensor([1.3, 1.3, 1.8, 1.8])
    distance = torch.tensor([0.3, 0.3, -0.2, -0.2]) / (HIGH - LOW)  # on a grid of width 1
    expected = grad * (1 + 4 * torch.sign(grad) * distance)
    torch.testing.assert_close(gradient(u, ElementWiseScaling(4), grad), expected)


def test_dsq_is_the_soft_one_with_its_own_parameter() -> None:
    surrogate = dsq(0.2)
    assert surrogate.k == pytest.approx(2.1972, abs=1e-4)
    assert math.tanh(surrogate.k / 2) == pytest.approx(1 - 0.2)


def test_weights_and_their_steps_in_a_network_follow_the_surrogate() -> None:
    net = network("gaitbase", "w4a4", seed=4)
    layer = next(layer for layer in net.layers if layer.name == "layer2_conv1")
    key = "layer2_conv1"
    net.zero_grad(set_to_none=True)
    net.surrogates = Surrogates(weights=Soft(4))
    mix = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    w, s = net.weights[key].detach().double(), net.weight_steps[key].detach().double().view(-1, 1, 1, 1)
    u, eps = w / s, 1e-6
    mix[(u.abs() - 7.5).abs() < 1e-4] = 0  # where the grid ends there is a kink and no derivative
    (net.weight_integers(layer) * mix).sum().backward()
    net.surrogates = Surrogates()

    def soft(v: Tensor) -> Tensor:
        v = torch.clamp(v, -7.5, 7.5)
        return torch.floor(v) + 0.5 + torch.tanh(4 * (v - torch.floor(v) - 0.5)) / (2 * math.tanh(2))

    by_weight = mix * (soft(u + eps) - soft(u - eps)) / (2 * eps) / s
    by_step = (mix * (soft(w / (s * (1 + eps))) - soft(w / (s * (1 - eps)))) / (2 * eps * s)).sum((1, 2, 3))
    torch.testing.assert_close(net.weights[key].grad.double(), by_weight, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(net.weight_steps[key].grad.double(), by_step, rtol=1e-3, atol=0.5)
    net.zero_grad(set_to_none=True)


@pytest.mark.parametrize("surrogate", [Soft(4), Sine(0.9), ElementWiseScaling(2), ClipLearning()])
@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
def test_integers_do_not_depend_on_the_surrogate(name: str, surrogate: Surrogate) -> None:
    net = network(name, "w3a3")
    frames = torch.from_numpy(clips(1, 3)[0])[None]
    plain = net(frames, torch.float64).detach()
    net.surrogates = Surrogates(surrogate, surrogate)
    try:
        training = net(frames, torch.float64).detach()
        with torch.no_grad():
            evaluated = net(frames, torch.float64)
    finally:
        net.surrogates = Surrogates()
    assert torch.equal(training, plain)
    assert torch.equal(evaluated, net(frames, torch.float64).detach())


def test_impossible_parameters_are_refused() -> None:
    for make in (lambda: Soft(-1), lambda: Soft(math.nan), lambda: Sine(1.5), lambda: dsq(0), lambda: dsq(1)):
        with pytest.raises(QgaitError, match=r"impossible|cannot be"):
            make()


def test_half_up_rounds_up_and_passes_gradients_on() -> None:
    x = torch.tensor([-1.5, -0.5, 0.5, 1.49], requires_grad=True)
    out = half_up(x)
    out.sum().backward()
    assert out.tolist() == [-1, 0, 1, 1] and torch.equal(x.grad, torch.ones(4))  # type: ignore[arg-type]
