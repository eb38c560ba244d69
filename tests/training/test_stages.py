"""The schedule of quantized training, and how steps learn."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from small_networks import clips, network
from tiny_runs import stages

from qgait.errors import QgaitError
from qgait.export.checks import check_graph
from qgait.export.folding import fold
from qgait.quantizers.deployable import LARGEST_BIAS
from qgait.quantizers.parameters import parameter
from qgait.quantizers.surrogates import ClipLearning, ElementWiseScaling, Sine, Soft, StraightThrough, Surrogates
from qgait.training.settings import OptimizerSettings, QuantizedSettings, Schedule, Stage, Stages
from qgait.training.stages import learning_rate, learns_clips, sharpness, stage_of, surrogates
from qgait.training.steps import deployable_steps, gradient_scales, parameter_groups, scale_gradients

SETTINGS = QuantizedSettings(stages((8, 6), (0.1, 0.01)))


def test_the_second_stage_is_soft_and_slow() -> None:
    first, second = SETTINGS.stages.first, SETTINGS.stages.second
    assert [stage_of(SETTINGS, i) for i in (0, 7, 8, 13)] == [(first, 0), (first, 7), (second, 0), (second, 5)]
    rates = [learning_rate(SETTINGS, i) for i in range(SETTINGS.iterations)]
    expected = [0.1] * 4 + [0.01] * 2 + [0.001] * 2 + [0.01] * 4 + [0.001] * 2
    assert rates == pytest.approx(expected)
    assert all(surrogates(SETTINGS, i) == Surrogates() for i in range(8))
    ks = [surrogates(SETTINGS, i).weights.k for i in range(8, 14)]  # type: ignore[attr-defined]
    assert ks == pytest.approx([1, 1.6, 2.2, 2.8, 3.4, 4])


def test_a_stage_has_its_own_schedule_and_sharpness() -> None:
    cosine = Stage(4, OptimizerSettings(learning_rate=2.0), Schedule("cosine"), "soft", (5, 5))
    settings = QuantizedSettings(Stages(cosine, cosine))
    assert [learning_rate(settings, i) for i in range(4)] == pytest.approx([2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5])
    assert [learning_rate(settings, i) for i in (4, 6)] == pytest.approx([2, 1])
    assert {surrogates(settings, i).activations for i in range(8)} == {Soft(5)}


def test_a_stage_may_be_empty_or_one_iteration_long() -> None:
    only_second = QuantizedSettings(stages((0, 3)))
    assert [stage_of(only_second, i)[1] for i in range(3)] == [0, 1, 2]
    assert [sharpness(only_second, i) for i in range(3)] == pytest.approx([1, 2.5, 4])
    assert sharpness(QuantizedSettings(stages((2, 1))), 2) == 4
    only_first = QuantizedSettings(stages((3, 0)))
    assert surrogates(only_first, 2) == Surrogates()


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("sine", Sine),
        ("dsq", Soft),
        ("ewgs", ElementWiseScaling),
        ("straight", StraightThrough),
    ],
)
def test_each_kind_and_tensor(kind: str, kept: type) -> None:
    settings = QuantizedSettings(stages((0, 1), surrogates=(kind, kind)), tensors=("activations",))  # type: ignore[arg-type]
    chosen = surrogates(settings, 0)
    assert chosen.weights == StraightThrough() and isinstance(chosen.activations, kept)
    assert not learns_clips(settings)


def test_pact_is_for_activations() -> None:
    settings = QuantizedSettings(stages((1, 1), surrogates=("pact", "pact")))
    assert surrogates(settings, 0) == Surrogates(StraightThrough(), ClipLearning())
    assert learns_clips(settings)


def test_gradient_scales_are_lsqs() -> None:
    net = network("gaitbase", "w4a3")
    scales = gradient_scales(net, False)
    assert set(scales) == {n for n, _ in net.named_parameters() if n.startswith(("steps.", "weight_steps."))}
    assert scales["weight_steps.layer2_conv1"] == pytest.approx(
        1 / math.sqrt(8 * 9 * 7)
    )  # 8 channels in, 3 x 3, 4 bits
    assert scales["weight_steps.embedding"] == pytest.approx(1 / math.sqrt(20 * 127))  # one part's channel, 8 bits
    assert scales["steps.layer2_conv1"] == pytest.approx(1 / math.sqrt(12 * 32 * 22 * 7))  # unsigned 3 bits
    assert scales["steps.embedding"] == pytest.approx(1 / math.sqrt(20 * 127))
    largest = net.grids["layer1_conv1"].max_integer
    assert gradient_scales(net, True)["steps.layer1_conv1"] == pytest.approx(1 / largest**2)
    assert gradient_scales(net, True)["weight_steps.layer2_conv1"] == scales["weight_steps.layer2_conv1"]


def test_gradients_of_steps_alone_are_scaled() -> None:
    net = copy.deepcopy(network("gaitset", "w4a4"))
    net.zero_grad(set_to_none=True)
    net(torch.from_numpy(clips(1, 2)[0])[None]).square().mean().backward()
    before = {name: p.grad.clone() for name, p in net.named_parameters()}
    scales = gradient_scales(net, False)
    scale_gradients(net, scales)
    for name, trained in net.named_parameters():
        torch.testing.assert_close(trained.grad, before[name] * scales.get(name, 1.0))
    net.zero_grad(set_to_none=True)


def test_a_step_at_most_halves() -> None:
    net = copy.deepcopy(network("gaitset", "w4a4"))
    before = {key: value.detach().clone() for key, value in net.named_parameters()}
    with deployable_steps(net), torch.no_grad():
        net.steps["embedding"].fill_(-3)
        net.weight_steps["set_block1_conv1"].mul_(0.9)
    torch.testing.assert_close(net.steps["embedding"].detach(), before["steps.embedding"] / 2)
    torch.testing.assert_close(
        net.weight_steps["set_block1_conv1"].detach(), before["weight_steps.set_block1_conv1"] * 0.9
    )


def test_every_parameter_is_in_one_group_and_steps_do_not_decay() -> None:
    net = copy.deepcopy(network("gaitset", "w4a4"))
    head = torch.nn.Linear(2, 2)
    for clips_learn in (False, True):
        groups = parameter_groups(net, head, 5e-4, clips_learn)
        members = [p for group in groups for p in group["params"]]  # type: ignore[attr-defined]
        assert len(members) == len({id(p) for p in members}) == len([*net.parameters(), *head.parameters()])
        still = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}  # type: ignore[attr-defined]
        assert all(id(p) in still for p in net.weight_steps.values())
        assert all(id(p) not in still for p in [*net.weights.values(), *net.biases.values(), *head.parameters()])
        for key, step in net.steps.items():
            assert (id(step) in still) == (not clips_learn or key.endswith("/pre")), key


def test_a_dead_channel_keeps_a_step_for_its_bias() -> None:
    net = copy.deepcopy(network("gaitset", "w4a4"))
    name = "set_block1_conv2"
    layer = next(layer for layer in net.layers if layer.name == name)
    with torch.no_grad():
        parameter(net.weight_steps, name)[3] = 1e-12
        parameter(net.biases, name)[3] = 0.5
        parameter(net.weight_steps, name)[4] = 1e-8
        parameter(net.biases, name)[4] = 50
    with pytest.raises(QgaitError, match=f"{name} cannot be rescaled by integers.*needs a shift outside"):
        fold(net)
    untouched = parameter(net.weight_steps, name)[2].item()
    with deployable_steps(net):
        pass
    check_graph(fold(net))
    assert net.bias_integers(layer)[4].item() == pytest.approx(LARGEST_BIAS, rel=1e-5)
    assert parameter(net.weight_steps, name)[2].item() == untouched
