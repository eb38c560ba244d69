"""Numbers as people write them, nothing but plain data, no key twice."""

from __future__ import annotations

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
        ("a: !!python/object/apply:os.system [ls]", "in line 1: could not determine a constructor"),
        ("a: 1\n---\nb: 2", "another document"),
        ("? [1, 2]\n: 3", "unhashable"),
        ("\x00", "special characters"),
        ("a: " + "[" * 3000, "recursion"),
        ("a: " + "9" * 5000, "digits"),
    ],
)
def test_what_is_no_plain_yaml_is_one_sentence_with_the_line(text: str, problem: str) -> None:
    with pytest.raises(QgaitError) as refused:
        parse(text, "mine.yaml")
    assert refused.value.problem.startswith("mine.yaml is no YAML")
    assert problem in refused.value.problem
    assert "\n" not in str(refused.value)
