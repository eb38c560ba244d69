from __future__ import annotations

import dataclasses
import math
import re

import pytest
import torch
from loss_batches import batch, value_and_gradient

from qgait.errors import QgaitError
from qgait.losses.center_ranked import center_ranked_loss
from qgait.losses.cross_entropy import cross_entropy_loss
from qgait.losses.generalized_inter_class import pairwise_softmax_loss, uniformity_loss, weighted_margin_loss
from qgait.losses.objective import CenterRanked, CrossEntropy, Losses, Softmax, Triplet, Uniformity, WeightedMargin
from qgait.losses.triplet import triplet_loss

OFF = Losses(Triplet(weight=0), CrossEntropy(weight=0))
ALL = Losses(
    Triplet(2, 0.3),
    CrossEntropy(3, 8, 0.2),
    WeightedMargin(5, 0.4),
    Softmax(7, 0.5, True, None),
    Uniformity(0.1),
    CenterRanked(11, "absolute", 0.4, 0.3, 0.9, True, True),
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def logits(classes: int = 9) -> torch.Tensor:
    return torch.randn(7, classes, 3, generator=generator(1), dtype=torch.float64) * 0.3


def test_each_term_is_its_loss_with_its_settings_and_weight() -> None:
    x, labels = batch()
    terms, share = ALL.terms(x, logits(), labels, 0, generator())
    expected = {
        "triplet": 2 * triplet_loss(x, labels, 0.3)[0],
        "cross_entropy": 3 * cross_entropy_loss(logits(), labels, 8, 0.2),
        "weighted_margin": 5 * weighted_margin_loss(x, labels, 0.4),
        "softmax": 7 * pairwise_softmax_loss(x, labels, 0.5, True),
        "uniformity": 0.1 * uniformity_loss(x, labels),
        "center_ranked": 11 * center_ranked_loss(x, labels, "absolute", 0.4, 0.3, 0.9, True, True),
    }
    assert list(terms) == list(expected) == [field.name for field in dataclasses.fields(Losses)]
    for name, value in terms.items():
        assert torch.equal(value, expected[name]), name
    assert torch.equal(share, triplet_loss(x, labels, 0.3)[1])
    total, slope = value_and_gradient(sum(terms.values(), torch.zeros(())), x)
    assert math.isfinite(total) and slope.abs().max() > 0


def test_by_default_it_is_opengaits_loss() -> None:
    x, labels = batch()
    terms, _ = Losses().terms(x, logits(), labels, 0, generator())
    assert list(terms) == ["triplet", "cross_entropy"]
    assert torch.equal(terms["triplet"], triplet_loss(x, labels)[0])
    assert torch.equal(terms["cross_entropy"], cross_entropy_loss(logits(), labels))
    assert list(Losses().terms(x, None, labels, 0, generator())[0]) == ["triplet"]


@pytest.mark.parametrize("name", ["weighted_margin", "softmax", "uniformity", "center_ranked", "triplet"])
def test_a_term_alone_and_the_share_without_the_triplet_loss(name: str) -> None:
    x, labels = batch()
    one = dataclasses.replace(OFF, **{name: dataclasses.replace(getattr(OFF, name), weight=1.5)})
    terms, share = one.terms(x, None, labels, 0, generator())
    assert list(terms) == [name]
    assert terms[name].requires_grad and not share.requires_grad
    assert torch.equal(share, triplet_loss(x, labels)[1])


def test_no_term_at_all_is_an_empty_sum() -> None:
    x, labels = batch()
    assert OFF.terms(x, logits(), labels, 0, generator())[0] == {}
    with pytest.raises(QgaitError, match="Cross-entropy is the only loss with a weight"):
        Losses(Triplet(weight=0)).terms(x, None, labels, 0, generator())


def test_the_filter_begins_at_its_iteration_and_draws_a_part_only_then() -> None:
    x, labels = batch()
    losses = dataclasses.replace(OFF, softmax=Softmax(1, filter_from=10))
    chance = generator()
    start = chance.get_state()
    plain = losses.terms(x, None, labels, 9, chance)[0]["softmax"]
    assert torch.equal(plain, pairwise_softmax_loss(x, labels))
    assert torch.equal(chance.get_state(), start)
    by_part = [pairwise_softmax_loss(x, labels, filter_part=p).item() for p in range(3)]
    drawn = [losses.terms(x, None, labels, 10 + i, chance)[0]["softmax"].item() for i in range(20)]
    assert set(drawn) == set(by_part), "every part is drawn, and nothing else"
    resumed = generator()
    resumed.set_state(start)
    assert [losses.terms(x, None, labels, 10 + i, resumed)[0]["softmax"].item() for i in range(20)] == drawn


def test_all_is_float32_under_autocast() -> None:
    x, labels = batch()
    half = x.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        terms, share = ALL.terms(half, logits().bfloat16(), labels, 0, generator())
    assert {value.dtype for value in [*terms.values(), share]} == {torch.float32}
    assert {value.shape for value in [*terms.values(), share]} == {torch.Size()}


@pytest.mark.parametrize(
    ("term", "setting", "value", "wanted"),
    [
        (Triplet, "weight", -1.0, "a number from 0 to"),
        (Triplet, "weight", math.nan, "a number from 0 to"),
        (Triplet, "margin", math.inf, "a number from 0 to"),
        (Triplet, "margin", 10**40, "a number from 0 to"),
        (WeightedMargin, "margin", -0.1, "a number from 0 to"),
        (CrossEntropy, "scale", 0.0, "a number from 1e-06 to"),
        (CrossEntropy, "smoothing", 1.0, "a number from 0 to below 1"),
        (Softmax, "temperature", 0.0, "a number from 1e-06 to"),
        (Softmax, "filter_from", -1, "a whole number from 0 to 1,000,000,000 or null"),
        (Uniformity, "weight", -0.1, "a number from 0 to"),
        (CenterRanked, "temperature", -0.1, "a number from 1e-06 to"),
        (CenterRanked, "alpha", 0.0, "a number from 1e-06 to"),
        (CenterRanked, "mode", "sorted", "absolute or hard or mean or softrank"),
    ],
)
def test_values_that_make_no_sense_are_named(term: type, setting: str, value: object, wanted: str) -> None:
    shown = re.escape(repr(value))
    with pytest.raises(QgaitError, match=rf"{term.__name__}\.{setting} is {shown}, but has to be {wanted}"):
        term(**{setting: value})
