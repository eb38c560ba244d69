"""npu_ethosu.c with a double of Arm's driver: what it hands over, in which order, and what it does with failures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qgait.compiler.device import DEVICE
from qgait.compiler.link import zig_command
from qgait.targets.processors import find

HEADERS = Path(__file__).parents[2] / "ethosu_headers"
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", f"-I{HEADERS}", f"-I{DEVICE}"]


@pytest.fixture(scope="module", params=[(), ("-DGAIT_NPU_CYCLES",)], ids=["plain", "cycles"])
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    """The program, and whether it counts cycles."""
    program = tmp_path_factory.mktemp("driver") / "driver"
    sources = [str(DEVICE / "npu_ethosu.c"), str(HEADERS / "driver_double.c")]
    subprocess.run([*zig_command(), "cc", *FLAGS, *request.param, *sources, "-o", str(program)], check=True)
    return program, bool(request.param)


def lines(driver: tuple[Path, bool], *arguments: str) -> list[str]:
    program, _ = driver
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_regions_are_weights_scratch_and_fast_memory(driver: tuple[Path, bool]) -> None:
    told = [line for line in lines(driver, "16", "32") if line.startswith("invoke")]
    assert told == ["invoke commands 40: weights 50 scratch 60 fast 16"] * 2


def test_a_region_of_no_bytes_is_still_there(driver: tuple[Path, bool]) -> None:
    told = lines(driver, "0", "0")
    assert [line for line in told if line.startswith("invoke")] == [
        "invoke commands 40: weights 50 scratch 60 nothing 0"
    ] * 2
    assert "answers 0 0" in told


@pytest.mark.parametrize("there", ["0", "15"])
def test_too_little_fast_memory_never_reaches_the_npu(driver: tuple[Path, bool], there: str) -> None:
    told = lines(driver, "16", there)
    assert "answers 1 1" in told
    assert not any(line.startswith("invoke") for line in told)
    assert told.count("reserve") == told.count("release 1") == 2


def test_a_failure_is_told_and_the_driver_released(driver: tuple[Path, bool]) -> None:
    told = lines(driver, "0", "0", "fails")
    assert "answers 1 1" in told
    assert told.count("reserve") == told.count("release 1") == 2


def test_no_driver_is_a_failure(driver: tuple[Path, bool]) -> None:
    told = lines(driver, "0", "0", "none")
    assert told[:3] == ["reserve", "reserve", "answers 1 1"]


def test_cycles_are_counted_around_the_run(driver: tuple[Path, bool]) -> None:
    told, counts = lines(driver, "0", "0"), driver[1]
    invoke = "invoke commands 40: weights 50 scratch 60 nothing 0"
    around = ["enable 1", "count 1 80000000", "zero 1", invoke, "disable 1"] if counts else [invoke]
    assert told[: 2 * len(around) + 4] == ["reserve", *around, "release 1"] * 2
    assert told[2 * len(around) + 4 :] == ["answers 0 0", *(["cycles 2000 0"] if counts else [])]
    if counts:
        assert "cycles 0 0" in lines(driver, "0", "0", "fails")


@pytest.mark.parametrize("target", ["cortex-m55", "imx93"])
def test_it_compiles_for_the_processors_beside_an_npu(target: str, tmp_path: Path) -> None:
    flags = ["-Wall", "-Wextra", "-Werror", "-DGAIT_NPU_CYCLES", "-ffreestanding", f"-I{HEADERS}", f"-I{DEVICE}"]
    out = tmp_path / "npu_ethosu.o"
    command = [
        *zig_command(),
        "cc",
        *find(target).zig_flags,
        *flags,
        "-c",
        str(DEVICE / "npu_ethosu.c"),
        "-o",
        str(out),
    ]
    subprocess.run(command, check=True)
    assert out.stat().st_size > 0
