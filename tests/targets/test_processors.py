"""Targets: the names, this machine, and what a wrong name is told."""

from __future__ import annotations

import platform
from dataclasses import asdict, replace

import pytest

from qgait.errors import QgaitError
from qgait.targets import processors as targets
from qgait.targets.accelerators import NPU_TARGETS

VNNI = {"avx2", "fma", "bmi2", "avx512_vnni", "avx512bw", "avx512vl", "avx512dq", "avx512cd"}


def test_names_are_unique_and_found() -> None:
    names = [target.name for target in targets.all_targets()]
    assert len(set(names)) == len(names) and names[0] == "host"
    for name in names:
        found = targets.find(name)
        assert found.name == name
        assert found.description


def test_boards_have_the_instructions_of_their_processors() -> None:
    by_isa = {
        isa: {t.name for t in targets.all_targets()[1:] if t.isa == isa}
        for isa in ("dotprod", "v8", "armv7", "mve", "dsp")
    }
    assert by_isa == {
        "dotprod": {"arm", "arm-i8mm", "rpi5", "rk3588", "imx93"},
        "v8": {"arm64-v8", "rpi3", "rpi4"},
        "armv7": {"armv7"},
        "mve": {"cortex-m55", "cortex-m85"},
        "dsp": {"cortex-m33"},
    }


def test_code_without_dot_products_is_emulated_without_them() -> None:
    for target in targets.all_targets()[1:]:
        if target.bare_metal:
            continue
        assert target.qemu is not None
        assert ("neoverse" in target.qemu[2]) == (target.isa == "dotprod")


@pytest.mark.parametrize(
    ("wrong", "near"), [("rpi44", "rpi4"), ("arm64v8", "arm64-v8"), ("Host", "host"), ("ethos-u55-12", "ethos-u55-128")]
)
def test_a_wrong_name_gets_the_nearest_one(wrong: str, near: str) -> None:
    with pytest.raises(QgaitError) as caught:
        targets.find(wrong)
    assert f"'{wrong}'" in caught.value.problem
    assert f"'{near}'" in caught.value.fix and "qgait targets" in caught.value.fix


def test_an_npu_is_no_processor() -> None:
    with pytest.raises(QgaitError, match=r"ethos-u65-256 is an NPU.*such as imx93"):
        targets.find("ethos-u65-256")


def test_the_processor_beside_an_npu_is_known_and_no_name_is_taken_twice() -> None:
    names = [target.name for target in (*targets.all_targets(), *NPU_TARGETS)]
    assert len(set(names)) == len(names)
    assert {targets.find(target.host).name for target in NPU_TARGETS} == {"cortex-m55", "imx93", "cortex-m85"}


@pytest.mark.parametrize("name", ["cortex-m33", "cortex-m55", "cortex-m85", "imx93", "armv7"])
def test_speeds_beside_an_npu_are_those_of_the_processor(name: str) -> None:
    speed = targets.processor(targets.find(name)).speed
    assert speed.milliseconds(500e6, macs=10**6) == pytest.approx(1e9 / speed.macs / (speed.clock or 500e6))
    assert speed.milliseconds(500e6, moved=10**6) > 0
    assert (speed.clock is None) == name.startswith("cortex-m")


@pytest.mark.parametrize("name", ["host", "cortex-m7"])
def test_a_processor_of_unknown_speed_is_refused(name: str) -> None:
    with pytest.raises(QgaitError, match=f"does not know the speed .* called '{name}'"):
        targets.processor(replace(targets.find("cortex-m33"), name=name))


def test_a_chip_is_what_a_target_without_an_operating_system_has() -> None:
    for known in targets.PROCESSORS:
        assert (known.chip is not None) == known.target.bare_metal
        if known.chip is not None:
            assert known.chip.machine.name == known.target.board
    with pytest.raises(QgaitError, match="rpi5 has an operating system"):
        targets.microcontroller(targets.find("rpi5"))


# what old bundles have in their manifests and new ones must write
MANIFEST_OF_CORTEX_M33 = {
    "name": "cortex-m33",
    "description": "Cortex-M33 with DSP, no operating system",
    "mtriple": "thumbv8m.main-none-eabihf",
    "mattr": ("+dsp",),
    "mcpu": "cortex-m33",
    "isa": "dsp",
    "zig_target": "thumb-freestanding-eabihf",
    "elf_machine": 40,
    "qemu": ("qemu-system-arm", "-M", "mps2-an505"),
    "zig_cpu": "cortex_m33+fp_armv8d16sp",
    "board": "mps2-an505",
    "part": None,
    "flash_bytes": None,
    "ram_bytes": None,
}


def test_a_manifest_has_what_it_always_had() -> None:
    assert asdict(targets.find("cortex-m33")) == MANIFEST_OF_CORTEX_M33


@pytest.mark.parametrize(
    ("machine", "features", "isa", "elf"),
    [
        ("x86_64", VNNI, "vnni", targets.EM_X86_64),
        ("x86_64", VNNI - {"avx512_vnni"}, "generic", targets.EM_X86_64),
        ("x86_64", VNNI - {"avx512bw"}, "generic", targets.EM_X86_64),
        ("x86_64", set(), "generic", targets.EM_X86_64),
        ("aarch64", {"asimd", "asimddp"}, "dotprod", targets.EM_AARCH64),
        ("aarch64", {"asimd"}, "v8", targets.EM_AARCH64),
    ],
)
def test_the_host_runs_what_its_processor_has(machine: str, features: set[str], isa: str, elf: int) -> None:
    found = targets.host(machine, features)
    assert (found.name, found.isa, found.elf_machine, found.qemu) == ("host", isa, elf, None)


def test_older_x86_gets_older_instructions() -> None:
    assert targets.host("x86_64", {"avx2", "fma", "bmi2"}).mcpu == "x86-64-v3"
    assert targets.host("x86_64", {"avx2"}).mcpu == "x86-64"


def test_a_processor_without_code_is_refused() -> None:
    with pytest.raises(QgaitError, match="riscv64"):
        targets.host("riscv64", set())


def test_this_machine_is_known() -> None:
    assert targets.cpu_features()
    assert targets.host().mtriple.startswith(platform.machine())
