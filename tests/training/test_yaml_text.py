"""Numbers as people write them, nothing but plain data, no key twice."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest

from qgait.errors import QgaitError
from qgait.training.yaml_text import parse, write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-4", 0.0005),
        ("1e-4", 0.0001),
        ("0.0001", 0.0001),
        ("1E5", 100000.0),
        ("-.5", -0.5),
        ("7.", 7.0),
        (".inf", float("inf")),
        ("10", 10),
        ("-3", -3),
        ("40_000", 40000),
        ("010", 10),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("off", "off"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("0x10", "0x10"),
        ("'5e-4'", "5e-4"),
        ("[1, 2.0, x]", [1, 2.0, "x"]),
    ],
)
def test_scalars_are_read_as_yaml_1_2_reads_them_and_written_so_again(text: str, value: Any) -> None:
    read = parse(f"key: {text}", "text")["key"]
    assert read == value and type(read) is type(value)
    again = parse(write({"key": value}), "text")["key"]
    assert again == value and type(again) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2", "in line 4: 'c' is there twice"),
        ("a: 1\n'a': 2", "in line 2: 'a' is there twice"),
        ("a: [1", "in line 1"),
        ("a: b: c", "in line 1: mapping values are not allowed here"),
        ("a: !!python/object/apply:os.system [ls]", "in line 1: it has a tag"),
        ("a: !!bool maybe", "in line 1: it has a tag"),
        ("a: 1\n---\nb: 2", "another document"),
        ("? [1, 2]\n: 3", "in line 1: a list or a mapping cannot be a key"),
        ("\x00", "it has characters that no text has"),
        ("a: " + "[" * 3000, "in line 1: it is nested more than 20 deep"),
        ("- " * 3000, "in line 1: it is nested more than 20 deep"),
        ("a: " + "9" * 5000, "in line 1: it has a number of more than 40 digits"),
        ("a: " + "9" * 41, "in line 1: it has a number of more than 40 digits"),
        ("foo: &a {b: *a}", "in line 1: it has an anchor"),
        ("foo: *a", "in line 1: it has an alias"),
        ("- x\n" * 10_001, "in line 10000: it has more than 10,000 values"),
        (f"{'k' * 1000}: 1\n{'k' * 1000}: 2", "kkk'... is there twice"),
        ('"\\U99999999"', "it does not follow its rules"),
        (f"%YAML 1.{'1' * 5000}\n---\na: 1", "it does not follow its rules"),
    ],
)
def test_what_is_no_plain_yaml_is_one_sentence_with_the_line(text: str, problem: str) -> None:
    with pytest.raises(QgaitError) as refused:
        parse(text, "mine.yaml")
    assert refused.value.problem.startswith("mine.yaml is no YAML")
    assert problem in refused.value.problem
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


def laughs(depth: int) -> str:
    """A few hundred bytes that stand for 9 to the power of ``depth`` texts."""
    lines = ["a0: &a0 [lol, lol]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, depth))]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [laughs(30), "[" * (1 << 19), "- " * (1 << 19), "a: " + "1" * (1 << 19), "{a: " * (1 << 18), "x: y\n" * 200_000],
    ids=["laughs", "brackets", "dashes", "digits", "braces", "lines"],
)
def test_what_would_grow_without_end_is_refused_at_once(text: str) -> None:
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(QgaitError, match=r"bomb\.yaml is no YAML in line"):
            parse(text, "bomb.yaml")
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
        assert time.perf_counter() - start < 10, "tracing memory slows it down; without, it is a tenth of a second"
    finally:
        tracemalloc.stop()


def test_a_text_of_more_than_a_mebibyte_is_not_parsed() -> None:
    with pytest.raises(QgaitError, match=r"big\.yaml has more than 1 MiB of text"):
        parse("#" * ((1 << 20) + 1), "big.yaml")
