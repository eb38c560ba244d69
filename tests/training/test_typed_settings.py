"""Plain data into dataclasses by their type hints alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from qgait.errors import QgaitError
from qgait.field_bounds import hints_of
from qgait.training.typed_settings import Place, change, dotted, plain


@dataclass(frozen=True)
class Inner:
    """One level down."""

    weight: float = 1.0
    kind: Literal["soft", "hard", "8"] = "soft"

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise QgaitError("A weight below 0 makes no sense.", "use 0 or more.")


@dataclass(frozen=True)
class Outer:
    """Every kind of hint that settings have."""

    count: int = 3
    rate: float = 0.1
    on: bool = False
    name: str = "x"
    steps: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (1.0, 4.0)
    mixed: tuple[str, int] = ("a", 1)
    kinds: tuple[Literal["a", "b"], ...] = ("a",)
    limit: int | None = None
    path: str | None = None
    either: int | str = 1
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None


KEYS = tuple(key for name, hint in hints_of(Outer).items() for key in dotted(name, hint))
PLACE = Place("mine.yaml", keys=KEYS)


def changed(**changes: Any) -> Outer:
    return change(Outer(), changes, PLACE)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("count", 5, 5),
        ("count", 1e5, 100000),
        ("rate", 1, 1.0),
        ("rate", 0.0005, 0.0005),
        ("on", True, True),
        ("name", "y", "y"),
        ("steps", [], ()),
        ("steps", [5, 6, 7], (5, 6, 7)),
        ("steps", "5,6,7", (5, 6, 7)),
        ("steps", 5, (5,)),
        ("pair", [1, 2.5], (1.0, 2.5)),
        ("pair", "1,2.5", (1.0, 2.5)),
        ("mixed", ["b", 2], ("b", 2)),
        ("kinds", "a,b", ("a", "b")),
        ("limit", None, None),
        ("limit", 7, 7),
        ("path", "p", "p"),
        ("either", "x", "x"),
        ("either", 2, 2),
        ("inner", {"kind": "hard"}, Inner(kind="hard")),
        ("inner", {"kind": 8}, Inner(kind="8")),
        ("maybe", {"weight": 2}, Inner(weight=2.0)),
        ("maybe", None, None),
    ],
)
def test_values_become_what_the_hint_says_and_the_rest_stays(name: str, value: Any, wanted: Any) -> None:
    result = changed(**{name: value})
    assert getattr(result, name) == wanted and type(getattr(result, name)) is type(wanted)
    for other in hints_of(Outer):
        assert other == name or getattr(result, other) == getattr(Outer(), other)
    assert change(Outer(), plain(result), PLACE) == result, "plain data give the same settings again"


def test_layers_are_applied_one_after_the_other() -> None:
    first = change(Outer(), {"inner": {"weight": 2}, "count": 4}, Place("a.yaml", keys=KEYS))
    second = change(first, {"inner": {"kind": "hard"}, "count": 5}, Place("b.yaml", keys=KEYS))
    assert second.inner == Inner(2.0, "hard") and second.count == 5


@pytest.mark.parametrize(
    ("changes", "problem", "fix"),
    [
        ({"count": "five"}, "count in mine.yaml is 'five', but has to be a whole number.", "write for example 3."),
        ({"count": 2.5}, "count in mine.yaml is 2.5, but has to be a whole number.", "example 3"),
        ({"count": True}, "count in mine.yaml is True, but has to be a whole number.", "example 3"),
        ({"count": None}, "count in mine.yaml is None, but has to be a whole number.", "example 3"),
        ({"count": float("nan")}, "is nan, but has to be a whole number.", "example 3"),
        ({"rate": "fast"}, "rate in mine.yaml is 'fast', but has to be a number.", "example 0.1"),
        ({"rate": float("inf")}, "is inf, but has to be a number.", "example 0.1"),
        ({"on": "yes"}, "is 'yes', but has to be true or false.", "example false"),
        ({"on": 1}, "is 1, but has to be true or false.", "example false"),
        ({"name": 5}, "is 5, but has to be text.", "example '5'"),
        ({"path": 2024}, "is 2024, but has to be text or null.", "leave it out"),
        ({"steps": [1, "x"]}, "is [1, 'x'], but has to be a list of whole numbers.", "example [1, 2]"),
        ({"steps": {"a": 1}}, "but has to be a list of whole numbers.", "example [1, 2]"),
        ({"pair": [1]}, "is [1], but has to be a list of 2 numbers.", "example [1, 4]"),
        ({"mixed": [1, 2]}, "but has to be a list of text, a whole number.", "example [a, 1]"),
        ({"kinds": ["c"]}, "but has to be a list of items that are each a or b.", "example [a]"),
        ({"limit": "x"}, "is 'x', but has to be a whole number or null.", "leave it out"),
        ({"either": 1.5}, "is 1.5, but has to be a whole number or text.", "example 1"),
        ({"inner": 5}, "inner in mine.yaml is 5, but has to be a mapping with some of the keys weight, kind.", "leave"),
        ({"inner": {"kind": "firm"}}, "inner.kind in mine.yaml is 'firm', but has to be 8 or hard or soft.", "soft"),
        ({"inner": {"weight": -1}}, "inner in mine.yaml: A weight below 0 makes no sense.", "use 0 or more"),
        ({"maybe": {"weight": "x"}}, "maybe.weight in mine.yaml is 'x', but has to be a number.", "example 1."),
        ({"name": ["x" * 500]}, "...", "example x"),
    ],
)
def test_wrong_values_are_one_sentence_with_the_key_and_an_example(
    changes: dict[str, Any], problem: str, fix: str
) -> None:
    with pytest.raises(QgaitError) as refused:
        changed(**changes)
    assert problem in refused.value.problem
    assert fix in refused.value.fix
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("changes", "unknown", "nearest"),
    [
        ({"cuont": 1}, "cuont", "count"),
        ({"inner": {"wieght": 1}}, "inner.wieght", "inner.weight"),
        ({"inner": {"weights": {"x": 1}}}, "inner.weights", "inner.weight"),
        ({"weight": 1}, "weight", "inner.weight"),
        ({"qq": {"kind": 1}}, "qq", "kinds"),
        ({"inner": {"steps": 1}}, "inner.steps", "steps"),
        ({"limt": 1}, "limt", "limit"),
        ({5: 1}, "5", ""),
        ({"zzzz": 1}, "zzzz", ""),
    ],
)
def test_an_unknown_key_names_the_nearest(changes: dict[Any, Any], unknown: str, nearest: str) -> None:
    with pytest.raises(QgaitError) as refused:
        change(Outer(), changes, PLACE)
    assert refused.value.problem == f"There is no key {unknown} (in mine.yaml)."
    named = refused.value.fix.removeprefix("the nearest is ").removesuffix(".")
    assert named == nearest if nearest else named in KEYS
