"""npu_linux.c with a double of the kernel's driver: what it hands over, how often, and what it does with failures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qgait.compiler.device import DEVICE
from qgait.compiler.link import zig_command
from qgait.targets.processors import find

HEADERS = Path(__file__).parents[2] / "ethosu_headers"
FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", f"-I{DEVICE}"]
DOUBLES = [f"-D{name}=double_{name}" for name in ("open", "ioctl", "mmap", "munmap", "poll", "close")]
SUMS = [[10 * run + i + (3 if run % 2 == 0 else 0) for i in range(8)] for run in range(4)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    compiler = [*zig_command(), "cc", "-target", find("host").zig_target, *FLAGS]
    driver, kernel = folder / "driver.o", folder / "kernel.o"
    subprocess.run([*compiler, *DOUBLES, "-c", str(DEVICE / "npu_linux.c"), "-o", str(driver)], check=True)
    subprocess.run([*compiler, "-c", str(HEADERS / "linux_double.c"), "-o", str(kernel)], check=True)
    subprocess.run([*compiler, str(driver), str(kernel), "-static", "-o", str(folder / "program")], check=True)
    return folder / "program"


def lines(program: Path, *arguments: str) -> list[str]:
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, check=True).stdout.splitlines()


def answers(told: list[str]) -> list[tuple[int, list[int]]]:
    found = [line.removeprefix("answer ").split(":") for line in told if line.startswith("answer")]
    return [(int(answer), [int(value) for value in values.split()]) for answer, values in found]


def test_every_run_reads_its_inputs_and_gives_its_outputs(program: Path) -> None:
    assert answers(lines(program, "4096")) == [(0, values) for values in SUMS]


def test_a_stream_is_handed_over_once_and_without_its_header(program: Path) -> None:
    told = lines(program, "4096")
    assert told.count("open /dev/accel/accel0 1") == 1
    assert told.count("stream of 8 bytes") == 2  # two streams, four runs
    assert all("first command dd" in line for line in told if line.startswith("submit"))


@pytest.mark.parametrize(("there", "expected"), [("100", "sram 100, region 2 0"), ("99", "sram 0, region 2 1")])
def test_fast_memory_is_on_the_chip_where_there_is_enough(program: Path, there: str, expected: str) -> None:
    told = [line for line in lines(program, there) if line.startswith("submit")]
    first = f"submit first command dd, weights 1, {expected}"
    second = "submit first command dd, weights 0, sram 0, region 2 0"
    assert told == [first, second, first, second]


@pytest.mark.parametrize("trouble", ["fails", "refuses", "missing"])
def test_a_failure_is_told_and_gives_no_output(program: Path, trouble: str) -> None:
    assert answers(lines(program, "4096", trouble)) == [(-1, [0] * 8)] * 4


def test_it_compiles_for_a_board(tmp_path: Path) -> None:
    out = tmp_path / "npu_linux.o"
    flags = ["-target", find("imx93").zig_target, *FLAGS]
    subprocess.run([*zig_command(), "cc", *flags, "-c", str(DEVICE / "npu_linux.c"), "-o", str(out)], check=True)
    assert out.read_bytes()[:4] == b"\x7fELF"
