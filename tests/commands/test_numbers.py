"""Every number on every command line has bounds; what is outside is a sentence, and nothing is begun."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from command_tree import leaves

from qgait.cli import cli, run
from qgait.commands.numbers import Positive, Whole

WRONG = ("-1", "10000000000000000000000000000000000000000", "nan", "inf", "", "[", "1.5x", "9" * 5000)


OPTIONS = [
    (name, option)
    for name, command in leaves(cli).items()
    for option in command.params
    if isinstance(option.type, (Whole, Positive))
]


def test_no_number_is_without_bounds() -> None:
    plain = (click.types.IntParamType, click.types.FloatParamType, click.types.FloatRange, click.types.IntRange)
    for command in leaves(cli).values():
        assert not [option.name for option in command.params if isinstance(option.type, plain)]
    assert len(OPTIONS) > 20


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=lambda value: getattr(value, "name", value))
def test_what_is_outside_is_a_sentence(
    name: str, option: click.Option, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    zero = () if isinstance(option.type, Whole) and option.type.least == 0 else ("0",)
    for wrong in (*WRONG, *zero):
        assert run([*name.split(), option.opts[-1], wrong]) == 2
        problem, fix = capsys.readouterr().err.splitlines()
        assert problem.startswith(f"qgait: {option.opts[-1]} is a ") and len(problem) < 200
        assert fix.startswith("Fix: ")
    assert list(tmp_path.iterdir()) == []


def test_bounds_belong_to_them() -> None:
    assert [Whole(2, 5).convert(text, None, None) for text in ("2", "5")] == [2, 5]
    assert Positive(1.0).convert("1", None, None) == 1.0
