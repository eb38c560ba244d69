"""Library errors name settings; a command names its options."""

from __future__ import annotations

import click
import pytest

from qgait.cli import cli
from qgait.commands.settings import as_options, speaking_options
from qgait.errors import QgaitError


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("train", "name their folder: `data`.", "name their folder: --data."),
        ("train", "train without: `data.protocol=null`.", "train without: --set data.protocol=null."),
        ("train", "leave `evaluate_every` out.", "leave --evaluate-every out."),
        ("train", "leave `data.binary` as it was.", "leave data.binary as it was."),
        ("train", "use `device=cpu`.", "use --device cpu."),
        ("compile", "leave `host_fallback=False` out.", "leave --no-host-fallback out."),
        ("compile", "compile it with `trace=True`.", "compile it with --trace."),
        ("export", "leave `sram` out.", "leave `sram` out."),
        ("export", "run `qgait calibrate --bits w8a8`.", "run `qgait calibrate --bits w8a8`."),
    ],
)
def test_a_setting_is_the_option_of_the_command_that_has_it(command: str, text: str, said: str) -> None:
    assert as_options(text, cli.commands[command]) == said


def test_problem_and_fix_are_translated_in_groups_too() -> None:
    @click.group()
    def group() -> None: ...

    @group.command()
    @click.option("--how-many", type=int)
    def count(how_many: int) -> None:
        raise QgaitError(f"`how_many={how_many}` is none.", "leave `how_many` out.")

    speaking_options(group)
    with pytest.raises(QgaitError) as refused:
        group.main(["count", "--how-many", "3"], standalone_mode=False)
    assert (refused.value.problem, refused.value.fix) == ("--how-many 3 is none.", "leave --how-many out.")
