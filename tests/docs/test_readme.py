"""The README: its everyday commands, typed in order on walkers and a random checkpoint, and its C and Python."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from compiled_bundles import bundle, clips, graph
from small_networks import backbone

from qgait.cli import run
from qgait.compiler.link import zig_command
from qgait.models import checkpoint
from qgait.runtime.reference import Reference

README = Path(__file__).parents[2] / "README.md"


def block(language: str) -> str:
    """The only one in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.S)
    return str(found)


def commands() -> list[str]:
    return [line.split("#")[0].strip() for line in block("sh").splitlines() if line.strip()]


def test_every_command_works_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint.save(backbone("gaitset"), tmp_path / "float.pt")
    assert run(["data", "synth", "walks", "--subjects", "2", "--frames", "12"]) == 0
    typed = commands()
    assert len(typed) == 10
    for line in typed:
        words = shlex.split(line)
        assert words[0] == "qgait"
        assert run(words[1:]) == 0, line
    assert (tmp_path / "walk.npz").stat().st_size > 1000


def test_the_python_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bundle").symlink_to(bundle("tiny", "host").path)
    monkeypatch.chdir(tmp_path)
    clip = clips(graph("tiny"), 1)[0]
    names = {"frame": clip[0]}
    exec(block("py"), names)
    np.testing.assert_array_equal(names["codes"], Reference(graph("tiny")).embed(clip))


def test_the_c_runs_as_written(tmp_path: Path) -> None:
    made = bundle("tiny", "host")
    clip = clips(graph("tiny"), 3)[0]
    (tmp_path / "app.c").write_text(f"""
#include <stdio.h>
#include "gait.h"
static _Alignas(64) unsigned char arena[GAIT_ARENA_BYTES];
static uint8_t frame[{len(clip)}][GAIT_FRAME_BYTES];
int main(void)
{{
    int8_t codes[GAIT_EMBEDDING_BYTES];
    int frames = (int)fread(frame, GAIT_FRAME_BYTES, {len(clip)}, stdin);
    {block("c")}
    return fwrite(codes, 1, sizeof codes, stdout) != sizeof codes;
}}
""")
    made_of = ["app.c", str(made.path / "libgait.a"), f"-I{made.path}", "-o", "app"]
    subprocess.run([*zig_command(), "cc", *made.target.zig_flags, "-O2", "-static", *made_of], cwd=tmp_path, check=True)
    codes = subprocess.run([tmp_path / "app"], input=clip.tobytes(), capture_output=True, check=True).stdout
    expected = Reference(graph("tiny")).embed(clip)
    np.testing.assert_array_equal(np.frombuffer(codes, np.int8).reshape(expected.shape), expected)
