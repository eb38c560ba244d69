"""What people name on the command line: what is no file or folder is refused while it is read, before any work."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from command_tree import leaves

from qgait.cli import cli, run
from qgait.commands.paths import InputPath, NameOrFile, OutputFile, OutputFolder

HOSTILE = {  # for files and folders that are read or written
    "loop": "leads back to itself",
    "pipe": "it is a named pipe, is a pipe",
    "/dev/zero": "a device",
    "n" * 300: "too long, at most 255 bytes",
    "a\0b": "NUL",
    "": "empty, is a folder",
}
PATHS = [
    (name, param)
    for name, command in leaves(cli).items()
    for param in command.params
    if isinstance(param.type, (InputPath, NameOrFile, OutputFile, OutputFolder)) or param.name == "cache"
    if getattr(param.type, "suffix", None) is None  # a wrong ending would be said first
]


def test_every_path_is_looked_at() -> None:
    """What else takes text is no path."""
    words = {"data", "out", "model", "checkpoint", "bundle", "onnx", "init", "folder", "raw", "partition", "config"}
    for command in leaves(cli).values():
        others = [param.name for param in command.params if isinstance(param.type, click.types.StringParamType)]
        named = words & set(others)
        assert not named or (named == {"model"} and "checkpoint" in words), command.name
    assert len(PATHS) > 30


@pytest.mark.parametrize(("name", "param"), PATHS, ids=lambda value: getattr(value, "name", value))
def test_what_is_no_file_is_a_sentence(
    name: str,
    param: click.Parameter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop2")
    Path("loop2").symlink_to("loop")
    os.mkfifo("pipe")
    before = sorted(tmp_path.iterdir())
    for hostile, reasons in HOSTILE.items():
        words = [hostile] if isinstance(param, click.Argument) else [param.opts[-1], hostile]
        if name == "data prepare" and param.name == "folder":
            words = ["raw", hostile]
        assert run([*name.split(), *words]) == 2
        problem, fix = capsys.readouterr().err.splitlines()
        assert any(reason in problem for reason in reasons.split(", ")), (hostile[:20], problem)
        assert len(problem) < 600 and fix.startswith("Fix: ")
    assert sorted(tmp_path.iterdir()) == before


def test_a_name_that_is_not_utf_8_is_read_but_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"a\xff")
    Path(name).mkdir()
    assert run(["data", "info", name]) == 2
    assert r"a\udcff has no sequences" in capsys.readouterr().err
    for words in (["targets", "--json", name + "b"], ["train", "--out", name], ["compile", "x", "--out", name]):
        assert run(words) == 2
        assert r"a\udcff" in (said := capsys.readouterr().err) and "it is not UTF-8" in said


def test_nul_in_a_text_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "x", "--data", "d", "--protocol", "casia\0b"]) == 2
    assert "--protocol has a NUL in it." in capsys.readouterr().err
    assert run(["train", "--out", "x", "--set", "a=1", "--set", "a=\0"]) == 2
    assert "--set has a NUL in it." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--data", "d", "--out", "file"], "file is a file, not a folder."),
        (["train", "--data", "d", "--out", "file/run"], "file/run cannot be written: a part of its path is a file"),
        (["data", "synth", "file"], "file is a file, not a folder."),
        (["data", "prepare", "raw", "file"], "file is a file, not a folder."),
        (["demo", "--out", "file"], "file is a file, not a folder."),
        (["compile", "x.onnx", "--target", "host", "--out", "file"], "file is a file, not a folder."),
        (["compile", "x.onnx", "--target", "host", "--out", "."], ". cannot be replaced as a whole."),
        (["export", "x", "--out", "."], ". is a folder."),
        (["export", "x", "--out", "/dev/null"], "/dev/null cannot be written: it is a device, not a file."),
        (["calibrate", "--out", "/dev/null"], "/dev/null cannot be written: it is a device, not a file."),
        (["targets", "--json", "/dev/null"], "/dev/null cannot be written: it is a device, not a file."),
        (["targets", "--json", "to-folder"], "to-folder is a folder."),
        (["embed", "m", "w", "--out", "a\0.npz"], "no file has a NUL in its name"),
    ],
    ids=lambda words: " ".join(words).replace("\0", "NUL") if isinstance(words, list) else "",
)
def test_where_nothing_can_be_written(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    Path("raw").mkdir()
    Path("to-folder").symlink_to("raw")
    assert run(words) == 2
    assert said in capsys.readouterr().err
    assert Path("file").read_text() == "mine" and Path("/dev/null").is_char_device() and Path("to-folder").is_symlink()
