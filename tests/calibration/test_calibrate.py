from __future__ import annotations

import numpy as np
import pytest
import torch
from small_networks import calibrated, clips, layers, network

from qgait.calibration.bit_widths import weight_bits
from qgait.calibration.calibrate import calibrate
from qgait.calibration.observers import METHODS, Observer, choose
from qgait.calibration.weights import weight_steps
from qgait.errors import QgaitError
from qgait.quantizers import traversal
from qgait.quantizers.float_arithmetic import FloatArithmetic
from qgait.quantizers.grid import Recipe
from qgait.quantizers.integer_arithmetic import IntegerArithmetic
from qgait.quantizers.simulated import SimulatedNetwork


def observer(values: np.ndarray) -> Observer:
    seen = Observer(len(values))
    seen.see_range(values.astype(np.float32))
    seen.see_values(values.astype(np.float32), 0)
    return seen


def test_the_chosen_step_is_about_the_best_of_a_fine_search() -> None:
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(size=(1, 50_000))).astype(np.float32)
    grid, (step,) = choose([observer(values)], 4, "mse", lambda x: x)

    def error(s: float) -> float:
        return float(np.mean((np.clip(np.floor(values / s + 0.5), 0, 15) * s - values) ** 2))

    best = min(error(s) for s in np.linspace(0.05, 0.4, 400))
    assert (grid.min_integer, grid.max_integer) == (0, 15)
    assert error(float(step[0])) < 1.03 * best


def test_minmax_clips_nothing_and_percentile_little() -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_t(3, size=(1, 100_000)).astype(np.float32)
    seen = observer(values)
    clipped = {}
    for method in METHODS:
        grid, (step,) = choose([seen], 8, method, lambda x: x)
        clipped[method] = seen.clipped(grid, step)
    assert clipped["minmax"] == 0
    assert 0 < clipped["percentile"] < 0.001


def test_a_tensor_that_is_never_negative_spends_no_code_below_zero() -> None:
    grid, _ = choose([observer(np.random.default_rng(2).random((1, 1000)))], 8, "mse", lambda x: x)
    assert grid.zero_point == grid.lo == -128


def test_what_a_leaky_relu_shrinks_gets_few_codes() -> None:
    values = np.random.default_rng(3).normal(size=(1, 50_000))
    plain, _ = choose([observer(values)], 8, "mse", lambda x: x)
    leaky, _ = choose([observer(values)], 8, "mse", lambda x: np.where(x >= 0, x, 0.01 * x))
    assert -leaky.min_integer <= 64 < -plain.min_integer


def test_joined_tensors_share_a_grid_and_keep_their_steps() -> None:
    rng = np.random.default_rng(4)
    narrow, wide = rng.normal(size=(3, 5000)), rng.normal(size=(2, 5000)) * 10
    grid, steps = choose([observer(narrow), observer(wide)], 8, "mse", lambda x: x)
    assert [len(step) for step in steps] == [3, 2]
    assert steps[1].min() > 5 * steps[0].max()
    assert grid.min_integer < 0


def test_weight_steps_are_per_channel_and_beat_min_max() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 3, 3, 4, generator=generator, dtype=torch.float64) * torch.arange(1, 7).view(-1, 1, 1, 1)
    for bits in (2, 4, 8):
        limit = 2 ** (bits - 1) - 1
        errors = []
        for method in ("mse", "minmax"):
            step = weight_steps(weight, bits, method, (0,)).view(-1, 1, 1, 1)
            assert step.shape[0] == 6
            errors.append(((torch.clamp(torch.floor(weight / step + 0.5), -limit, limit) * step - weight) ** 2).sum())
        assert errors[0] < errors[1] or bits == 8


@pytest.mark.parametrize("name", ["gaitset", "gaitbase"])
def test_first_and_last_layers_stay_at_eight_bits(name: str) -> None:
    bits = weight_bits(list(layers(name)), Recipe.parse("w4a4"))
    assert next(iter(bits.values())) == 8 and bits[layers(name)[-1].name] == 8
    assert set(list(bits.values())[1:-1]) == {4}
    net = network(name, "w4a4")
    read = {name for layer in net.layers if layer.kind == "conv" for name in layer.inputs} - {"silhouette"}
    for tensor in read:
        grid = net.grid(tensor)
        assert grid.hi - grid.lo == 15, tensor
    embedding = net.grid(net.layers[-1].name)
    assert (embedding.lo, embedding.hi, embedding.zero_point) == (-128, 127, 0)


@pytest.mark.parametrize("bits", ["w8a8", "w3a3"])
def test_bias_correction_brings_channel_means_to_those_of_float(bits: str) -> None:
    """Without it, the mean of some channels is off by more than ten times as much."""
    corrected = network("gaitbase", bits)
    plain = _with_uncorrected_biases(corrected)
    frames = torch.from_numpy(np.stack([clip for clip in clips()]))
    wanted = _channel_means(corrected, frames, FloatArithmetic)
    error = {}
    for which, net in (("corrected", corrected), ("plain", plain)):
        actual = _channel_means(net, frames, lambda observe, net=net: _Watched(net, observe))
        error[which] = max(float((actual[k] - wanted[k]).abs().max() / wanted[k].abs().max()) for k in wanted)
    assert error["corrected"] < error["plain"] / 3


class _Watched(IntegerArithmetic):
    def __init__(self, net: SimulatedNetwork, watch: object) -> None:
        super().__init__(net, torch.float32)
        self.watch = watch

    def requantize(self, layer, acc, bias):  # type: ignore[no-untyped-def]
        if bias is not None:
            scale, shape = self.net.accumulator_step(layer), (1, -1, 1, 1) if acc.ndim == 4 else bias.shape
            self.watch(f"{layer.name}.pre", (acc + bias.to(acc.dtype).view(shape)) * scale.view(shape))  # type: ignore[operator]
        return super().requantize(layer, acc, bias)


def _channel_means(net: SimulatedNetwork, frames: torch.Tensor, make) -> dict[str, torch.Tensor]:  # type: ignore[no-untyped-def]
    computed = {f"{layer.name}.pre" for layer in net.layers if layer.weight is not None}
    means = {}

    def observe(name: str, value: torch.Tensor) -> None:
        if name in computed:
            means[name] = (value.mean((0, 2, 3)) if value.ndim == 4 else value.mean(0)).double()

    with torch.no_grad():
        traversal.run(net.layers, frames.float(), make(observe))
    return means


def _with_uncorrected_biases(net: SimulatedNetwork) -> SimulatedNetwork:
    steps = {name.replace("/", "."): value.detach() for name, value in net.steps.items()}
    weight = {name.replace("/", "."): value.detach() for name, value in net.weight_steps.items()}
    return SimulatedNetwork(
        net.model, net.recipe, net.layers, net.frame_size, net.weight_bits, weight, net.grids, steps
    )


def test_the_report_names_clipping_and_says_whether_more_data_would_help() -> None:
    _, report = calibrated("gaitset")
    named = {t.tensor: t for t in report.tensors}
    assert set(named) == set(network("gaitset").grids)
    assert all(0 <= t.clipped < 0.6 for t in report.tensors)
    assert any(t.clipped > 0 for t in report.tensors)
    assert report.to_dict()["clips"] == len(clips())
    assert "more data" in report.verdict().lower() or "stable" in report.verdict()


def test_little_varied_data_is_reported_as_unstable() -> None:
    """Halves that show different things give different ranges."""
    faint = [(clip // 24).astype(np.uint8) for clip in clips(4)]
    mixed = [clip for pair in zip(clips(4), faint, strict=True) for clip in pair]
    _, report = calibrate("gaitset", list(layers("gaitset")), mixed, Recipe.parse("w8a8"), "minmax")
    assert report.unstable and "More data would change" in report.verdict()


def test_wrong_use_is_one_sentence() -> None:
    with pytest.raises(QgaitError, match="not a calibration method"):
        calibrate("gaitset", list(layers("gaitset")), clips(), Recipe.parse("w8a8"), "entropy")
    with pytest.raises(QgaitError, match="at least 2 clips"):
        calibrate("gaitset", list(layers("gaitset")), clips(1), Recipe.parse("w8a8"))


def test_calibration_is_deterministic() -> None:
    again, _ = calibrate("gaitset", list(layers("gaitset")), clips(), Recipe.parse("w8a8"))
    for (name, a), (_, b) in zip(network("gaitset").named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(a, b), name
