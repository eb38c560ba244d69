"""The everyday commands of the README, typed in order on walkers and a random checkpoint."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from small_networks import backbone

from qgait.cli import run
from qgait.models import checkpoint

README = Path(__file__).parents[2] / "README.md"


def commands() -> list[str]:
    block = re.search(r"```sh\n(.*?)```", README.read_text(), re.S)
    assert block is not None
    return [line.split("#")[0].strip() for line in block[1].splitlines() if line.strip()]


def test_every_command_works_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint.save(backbone("gaitset"), tmp_path / "float.pt")
    assert run(["data", "synth", "walks", "--subjects", "2", "--frames", "12"]) == 0
    typed = commands()
    assert len(typed) == 9
    for line in typed:
        words = shlex.split(line)
        assert words[0] == "qgait"
        assert run(words[1:]) == 0, line
    assert (tmp_path / "walk.npz").stat().st_size > 1000
