"""docs/deploying.md: its commands are typed in order, its C compiles for the boards it names."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from example_graphs import gaitset_graph
from small_networks import backbone

from qgait.cli import run
from qgait.compiler.link import zig_command
from qgait.export.onnx.writer import write
from qgait.models import checkpoint
from qgait.targets.processors import find

PAGE = Path(__file__).parents[2] / "docs" / "deploying.md"
HEADERS = Path(__file__).parents[1] / "ethosu_headers"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.S)


def commands() -> list[list[str]]:
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Any network's bundle: its gait.h is what the examples include."""
    folder = tmp_path_factory.mktemp("bundle")
    write(gaitset_graph(channels=(2, 3, 4)), folder / "small.onnx")
    assert run(["compile", str(folder / "small.onnx"), "--target", "ethos-u55-256", "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_every_command_works_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint.save(backbone("gaitset"), tmp_path / "checkpoint.pt")
    assert run(["data", "synth", "silhouettes", "--subjects", "2", "--frames", "6"]) == 0
    typed = [words for words in commands() if words[0] != "aarch64-linux-gnu-gcc"]
    assert [words[0] for words in typed].count("qgait") == 6
    for words in typed:
        if words[0] == "qgait":
            short = ["--sequences", "2", "--frames", "2"] if words[1] == "verify" else []
            assert run([*words[1:], *short]) == 0, words
        else:
            vela = Path(sys.executable).parent / words[0]
            subprocess.run([vela, *words[1:]], check=True, capture_output=True)
            assert (tmp_path / "vela-out" / "frame_vela.tflite").stat().st_size > 0


@pytest.mark.parametrize(("target", "example"), [("cortex-m55", 0), ("cortex-m85", 0), ("cortex-m55", 1), ("imx93", 1)])
def test_the_firmware_compiles(bundle: Path, target: str, example: int, tmp_path: Path) -> None:
    source, out = tmp_path / "example.c", tmp_path / "example.o"
    source.write_text(blocks("c")[example])
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-ffreestanding", f"-I{bundle}", f"-I{HEADERS}"]
    subprocess.run([*zig_command(), "cc", *find(target).zig_flags, *flags, "-c", source, "-o", out], check=True)
    assert out.stat().st_size > 0
