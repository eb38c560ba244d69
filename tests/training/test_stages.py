"""The schedule of quantized training."""

from __future__ import annotations

import itertools

import pytest
import torch
from small_networks import network
from tiny_runs import stages

from qgait.quantizers.surrogates import ClipLearning, ElementWiseScaling, Sine, Soft, StraightThrough, Surrogates
from qgait.training.settings import QuantizedSettings, Schedule, Stage, Stages
from qgait.training.stages import clip_decay, learning_rate, learns_clips, sharpness, stage_of, surrogates

SETTINGS = QuantizedSettings(stages((8, 6), (0.1, 0.01)))


def test_the_second_stage_is_soft_and_slow() -> None:
    first, second = SETTINGS.stages.first, SETTINGS.stages.second
    assert [stage_of(SETTINGS, i) for i in (0, 7, 8, 13)] == [(first, 0), (first, 7), (second, 0), (second, 5)]
    rates = [learning_rate(SETTINGS, i) for i in range(SETTINGS.iterations)]
    assert rates[0] == 0.1 and rates[8] == 0.01
    assert all(later < earlier for i, (earlier, later) in enumerate(itertools.pairwise(rates), 1) if i != 8)
    assert all(surrogates(SETTINGS, i) == Surrogates() for i in range(8))
    ks = [surrogates(SETTINGS, i).weights.k for i in range(8, 14)]  # type: ignore[attr-defined]
    assert ks == pytest.approx([1, 1.6, 2.2, 2.8, 3.4, 4])


def test_a_stage_has_its_own_schedule_and_sharpness() -> None:
    cosine = Stage(4, 1.0, Schedule("cosine"), "soft", (5, 5))
    settings = QuantizedSettings(Stages(cosine, cosine))
    assert [learning_rate(settings, i) for i in range(4)] == pytest.approx([1, 0.5 + 0.125**0.5, 0.5, 0.5 - 0.125**0.5])
    assert [learning_rate(settings, i) for i in (4, 6)] == pytest.approx([1, 0.5])
    assert {surrogates(settings, i).activations for i in range(8)} == {Soft(5)}


def test_positions_may_lie_between_iterations() -> None:
    stage = Stage(4, 1.0, Schedule("cosine", warmup=0.25), "soft", (1, 4))
    settings = QuantizedSettings(Stages(stage, stage))
    assert learning_rate(settings, 0.5) == pytest.approx(0.5)  # half way through the warm-up, a quarter of four
    assert learning_rate(settings, 2.0) == pytest.approx(0.5)
    assert [sharpness(settings, at) for at in (0, 1.5, 3, 3.9, 5.5)] == pytest.approx([1, 2.5, 4, 4, 2.5])
    assert stage_of(settings, 3.99)[0] is settings.stages.first and stage_of(settings, 4.01)[1] == pytest.approx(0.01)


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


def test_the_clips_of_pact_decay_and_other_steps_do_not() -> None:
    net = network("gaitset", "w4a4")
    assert clip_decay(SETTINGS, net) is None
    decay = clip_decay(QuantizedSettings(stages((1, 1), surrogates=("pact", "pact"))), net)
    assert decay is not None
    net.zero_grad(set_to_none=True)
    decay.backward()
    for key, step in net.steps.items():
        if key.endswith("/pre"):
            assert step.grad is None
        else:  # alpha = step * largest integer, and the penalty is 5e-4 / 2 alpha^2
            wanted = 5e-4 * step.detach() * net.grids[key].max_integer ** 2
            torch.testing.assert_close(step.grad, wanted, rtol=1e-5, atol=0)
    net.zero_grad(set_to_none=True)
