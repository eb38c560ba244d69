"""JSON and schemas: bounds, sentences with the place in them, and no words of a library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from qgait.errors import QgaitError
from qgait.shown import listed, short
from qgait.structured import Size, Word, check, closed, parse_json


class Cat(Struct, tag="cat", tag_field="kind", forbid_unknown_fields=True):
    lives: Annotated[int, Meta(ge=1, le=9)]
    mood: Literal["calm", "wild"] = "calm"
    sizes: Annotated[tuple[Size, ...], Meta(max_length=3)] = ()
    corner: tuple[int, int] = (0, 0)
    owner: str | None = None


class Fish(Struct, tag="fish", tag_field="kind"):
    pass


class Home(Struct, forbid_unknown_fields=True):
    pets: list[Cat | Fish]
    rooms: dict[Word, Cat | Fish] = {}


def refusal(plain: Any, schema: Any = Home) -> str:
    with pytest.raises(QgaitError) as caught:
        check(plain, schema, "home.json is damaged", "write it again.")
    assert caught.value.problem.startswith("home.json is damaged: ")
    return caught.value.problem.removeprefix("home.json is damaged: ")


GOOD = {"kind": "cat", "lives": 9}


@pytest.mark.parametrize(
    ("pet", "sentence"),
    [
        (5, "has to be an object, not a whole number."),
        (None, "has to be an object, not null."),
        ({}, "has no entry kind."),
        ({"kind": "dog"}, ".kind is 'dog', which is none of the values that are possible there."),
        ({"kind": None}, ".kind has to be text, not null."),
        ({"kind": "cat"}, "has no entry lives."),
        ({**GOOD, "lives": 0}, ".lives has to be a whole number of at least 1."),
        ({**GOOD, "lives": 10}, ".lives has to be a whole number of at most 9."),
        ({**GOOD, "lives": 1.5}, ".lives has to be a whole number, not a number."),
        ({**GOOD, "lives": True}, ".lives has to be a whole number, not true or false."),
        ({**GOOD, "lives": 10**40}, ".lives has to be a whole number of at most 9."),
        ({**GOOD, "mood": "odd"}, ".mood is 'odd', which is none of the values that are possible there."),
        ({**GOOD, "sizes": [1, 0]}, ".sizes[1] has to be a whole number of at least 1."),
        ({**GOOD, "sizes": [1] * 4}, ".sizes has to be a list of length at most 3."),
        ({**GOOD, "corner": [1]}, ".corner has to be a list of length 2, not 1."),
        ({**GOOD, "owner": 1}, ".owner has to be text or null, not a whole number."),
        ({**GOOD, "colour\n": 1}, "has an entry colour?, which is unknown."),
    ],
)
def test_the_place_and_what_was_expected_are_told(pet: Any, sentence: str) -> None:
    found = refusal({"pets": [GOOD, pet]})
    assert found.replace("pets[1] ", "").replace("pets[1]", "") == sentence
    rooms = {f"room {number}": GOOD for number in range(50)} | {"attic": pet}
    named = refusal({"pets": [], "rooms": rooms})
    assert named.replace("rooms.attic ", "").replace("rooms.attic", "") == sentence


def test_what_fits_is_given_back() -> None:
    home = check({"pets": [{**GOOD, "corner": [1, 2]}, {"kind": "fish"}]}, Home, "", "")
    assert home.pets == [Cat(9, corner=(1, 2)), Fish()]


def test_an_entry_of_the_outermost_object_is_named() -> None:
    assert refusal({"a": "x", "b": 5}, dict[Word, Word]) == "b has to be text, not a whole number."
    assert refusal({"": "x"}, dict[Word, Word]) == "a key has to be text of length at least 1."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "its text is not JSON (line 1)."),
        ('{"a": 1,\n}', "its text is not JSON (line 2)."),
        ('{"a": 1, "a": 2}', "the entry a stands there twice."),
        ("[NaN]", "it says NaN, which is no number."),
        ("[-Infinity]", "it says -Infinity, which is no number."),
        ("[1e999]", "the number 1e999 is too large."),
        (f"[{10**40}]", "it has a number of 41 digits."),
        ("[" * 5000, "its text is nested more than 32 deep."),
        ('{"a":' * 5000 + "1" + "}" * 5000, "its text is nested more than 32 deep."),
        (r'["\ud800"]', "its text has half a character in it."),
        ("[1]" + " " * 100, "its text has 103 characters, more than 50."),
    ],
)
def test_text_is_bounded(text: str, sentence: str) -> None:
    limit = 50 if text.endswith("  ") else 10**6
    with pytest.raises(QgaitError) as caught:
        parse_json(text, "home.json is damaged", "write it again.", limit)
    assert caught.value.problem == f"home.json is damaged: {sentence}"


def test_brackets_in_texts_are_not_depth() -> None:
    assert parse_json('["' + "[" * 5000 + '", "\\"[["]', "", "") == ["[" * 5000, '"[[']
    assert parse_json('["\\ud83d\\udc31"]', "", "") == ["\U0001f431"]


@dataclass(frozen=True)
class Inner:
    count: int
    name: str


@dataclass(frozen=True)
class Outer:
    inner: tuple[Inner, ...]
    part: str | None
    rate: float
    cycles: dict[str, int]
    secret: object = None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inner": [{"count": -1, "name": "a"}]}, "inner[0].count has to be a whole number of at least 0"),
        ({"inner": [{"count": 1}]}, "inner[0] has no entry name"),
        ({"part": 3}, "part has to be text or null"),
        ({"cycles": {"sram": "x"}}, "cycles.sram has to be a whole number"),
        ({"secret": 1}, "it has an entry secret"),
        ({"part": "x" * 3000}, "part has to be text of length at most 2000"),
    ],
)
def test_a_schema_is_made_of_a_dataclass(change: dict[str, Any], words: str) -> None:
    schema = closed(Outer, leave_out=("secret",))
    good = {"inner": [{"count": 1, "name": "a"}], "part": None, "rate": 1, "cycles": {"sram": 5}}
    assert check(good, schema, "", "").inner[0].name == "a"
    assert words in refusal({**good, **change}, schema)


def test_long_and_strange_words_are_shortened() -> None:
    assert short("a\nb\x1b[31m") == "a?b?[31m"
    assert short("x" * 500, 21) == "xxxxxxxxx...xxxxxxxxx"
    assert listed(["one", "two"]) == "one; two"
    assert listed(["x" * 150, "y" * 150, "z"]) == "x" * 150 + "; and 2 more"
