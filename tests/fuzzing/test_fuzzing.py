"""A short form of `make fuzz`, what once ended badly, and that the fuzzer sees a bad end."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from fuzzing import command
from fuzzing.command import Outcome, execute
from fuzzing.files import FAMILIES
from fuzzing.material import Material, make
from fuzzing.run import Fuzzer, read, tried

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.json"))


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return make(tmp_path_factory.mktemp("material"))


@pytest.fixture
def fuzzer(material: Material, tmp_path: Path) -> Fuzzer:
    return Fuzzer(material, tmp_path / "failures")


@pytest.mark.parametrize("family", FAMILIES)
def test_damaged_files_end_in_a_sentence(family: str, fuzzer: Fuzzer) -> None:
    for number in range(4):
        fuzzer.try_file(family, number)
    assert fuzzer.bad == []


@pytest.mark.parametrize("number", range(3))
def test_odd_options_end_in_a_sentence(number: int, fuzzer: Fuzzer) -> None:
    fuzzer.try_options(number, 20)
    assert fuzzer.bad == [] and fuzzer.tried["options"] >= 15


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_what_once_ended_badly(file: Path, material: Material) -> None:
    assert tried(material, read(file)) == []


def bad(outcome: Outcome) -> str:
    return "; ".join(outcome.complaints(("out",)))


def test_a_traceback_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: list[str]) -> int:
        raise ValueError("not a sentence")

    monkeypatch.setattr("qgait.cli.run", fails)
    assert bad(execute([], tmp_path)).startswith("exit code 70; it says 'Traceback'")


def test_memory_time_files_and_signals_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(_: list[str]) -> int:
        return len(bytearray(b"x") * (700 << 20)) * 0

    def slow(_: list[str]) -> int:
        end = time.process_time() + 0.5
        while time.process_time() < end:
            pass
        return 0

    def writes(_: list[str]) -> int:
        Path("other").write_text("")
        Path("out.json").write_text("")
        return 0

    def dies(_: list[str]) -> int:
        os.abort()

    def hangs(_: list[str]) -> int:
        time.sleep(60)
        return 0

    def silent(_: list[str]) -> int:
        return 2

    def talks(_: list[str]) -> int:
        print("qgait: one\nqgait: two " + "x" * 900, file=sys.stderr)
        return 1

    monkeypatch.setattr(command, "SECONDS", 0.3)
    for run, words in (
        (hungry, "MB"),
        (slow, "seconds"),
        (writes, "it changed 'other'"),
        (dies, "stopped by SIGABRT"),
        (silent, "0 sentences"),
        (talks, "2 sentences instead of one; a sentence of 9"),
    ):
        monkeypatch.setattr("qgait.cli.run", run)
        assert words in bad(execute([], tmp_path)), run.__name__
        (tmp_path / "other").unlink(missing_ok=True)
    monkeypatch.setattr(command, "WAIT", 0.5)
    monkeypatch.setattr("qgait.cli.run", hangs)
    assert "stopped by SIGALRM" in bad(execute([], tmp_path))
