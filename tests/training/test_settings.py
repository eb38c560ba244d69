from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tiny_runs import stages

from qgait.data.augmentations import Augmentations
from qgait.errors import QgaitError
from qgait.training.optimization import learning_rate
from qgait.training.settings import OptimizerSettings, QuantizedSettings, Schedule, Settings, Stages

IMPOSSIBLE: list[tuple[Callable[[], Any], str]] = [
    (lambda: OptimizerSettings("lion"), "OptimizerSettings.kind is 'lion', but has to be adam or sgd"),
    (lambda: Schedule("steps"), "Schedule.kind is 'steps', but has to be cosine or milestones"),
    (lambda: Settings(iterations=0), "Settings.iterations is 0, but has to be a whole number from 1 to"),
    (lambda: Settings(precision="float8"), "Settings.precision is 'float8', but has to be bfloat16 or"),
    (lambda: Settings(save_every=0), "Settings.save_every is 0, but has to be a whole number from 1"),
    (lambda: Settings(evaluate_every=-1), "Settings.evaluate_every is -1, but has to be a whole number from 0"),
    (lambda: QuantizedSettings(precision="float16"), "no float16"),
    (lambda: QuantizedSettings(first_last="fp"), "cannot stay in floating point"),
    (lambda: QuantizedSettings(first_last="4"), "no policy for the first and last layer called '4'"),
    (
        lambda: QuantizedSettings(tensors=("biases",)),
        r"tensors is \('biases',\), but has to be a list of items that are each activations or weights",
    ),
    (lambda: stages((1, 1), surrogates=("round", "soft")), "Stage.surrogate is 'round', but has to be dsq or"),
    (lambda: stages((-1, 1)), "Stage.iterations is -1, but has to be a whole number from 0"),
    (lambda: QuantizedSettings(stages((0, 0))), "Two stages of 0 iterations are no training"),
]


@pytest.mark.parametrize(("make", "problem"), IMPOSSIBLE)
def test_what_cannot_be_is_refused(make: Callable[[], Any], problem: str) -> None:
    with pytest.raises(QgaitError, match=problem):
        make()


def test_the_defaults_are_opengaits_gaitset_on_casia_b() -> None:
    settings = Settings()
    assert (settings.iterations, settings.batch.people, settings.batch.clips) == (40_000, 8, 16)
    assert (settings.batch.sampling.count, settings.batch.sampling.frames) == ("fixed", 30)
    assert settings.batch.augmentations == Augmentations()
    assert settings.optimizer == OptimizerSettings("sgd", 0.1, 0.9, 5e-4)
    rate, schedule = settings.optimizer.learning_rate, settings.schedule
    rates = [learning_rate(rate, schedule, i, 40_000) for i in (0, 9_999, 10_000, 39_999)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 1e-4])


def test_milestones_are_iterations_or_shares_of_all() -> None:
    schedule = Schedule(milestones=(2, 0.75), factor=0.5)
    assert [learning_rate(8.0, schedule, i, 8) for i in (0, 1, 2, 5, 6, 7)] == [8, 8, 4, 4, 2, 2]


def test_the_cosine_of_gils_configuration() -> None:
    """SGD 0.1 down to 1e-4 over 80,000 iterations, the first 2,000 of them rising from 1e-6."""
    schedule = Schedule("cosine", lowest=1e-4, warmup=2_000, warmup_from=1e-6)
    rates = [learning_rate(0.1, schedule, i, 80_000) for i in (0, 1_000, 2_000, 40_000, 79_999)]
    assert rates == pytest.approx([1e-6, (1e-6 + 0.1) / 2, 0.0998460, 0.05005, 1e-4], rel=1e-5)


def test_milestones_may_have_a_warm_up_too() -> None:
    schedule = Schedule(milestones=(4,), warmup=2)
    assert [learning_rate(0.1, schedule, i, 8) for i in (0, 1, 2, 4)] == pytest.approx([0, 0.05, 0.1, 0.01])


def test_stages_of_quantized_training() -> None:
    settings = QuantizedSettings()
    assert settings.iterations == settings.stages.first.iterations + settings.stages.second.iterations == 6_000
    assert settings.stages == Stages()
