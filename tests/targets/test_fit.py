"""What a microcontroller has of memory: defaults, and networks that do not fit."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from compiled_bundles import bundle, clips, graph

from qgait.compiler.bundle import write
from qgait.errors import QgaitError
from qgait.targets.fit import check, with_memory
from qgait.targets.processors import all_targets, find, microcontroller


def test_every_bare_target_has_a_part() -> None:
    bare = [target for target in all_targets() if target.bare_metal]
    assert len(bare) == 3
    for target in bare:
        part, told = microcontroller(target).part, with_memory(target)
        assert (told.part, told.flash_bytes, told.ram_bytes) == (part.name, part.flash, part.ram)


def test_given_amounts_replace_the_part() -> None:
    told = with_memory(find("cortex-m33"), 2**20, 2**18)
    assert (told.flash_bytes, told.ram_bytes) == (2**20, 2**18)
    half = with_memory(find("cortex-m33"), ram=2**16)
    assert (half.flash_bytes, half.ram_bytes) == (4 * 2**20, 2**16)
    assert find("cortex-m33").flash_bytes is None, "verification compiles without a limit"


def test_an_unknown_microcontroller_is_refused() -> None:
    with pytest.raises(QgaitError, match=r"does not know .* called 'cortex-m7'"):
        with_memory(replace(find("cortex-m33"), name="cortex-m7"))


def test_a_target_with_an_operating_system_has_no_such_limit() -> None:
    assert with_memory(find("arm")) == find("arm")
    with pytest.raises(QgaitError, match="`ram` is for a Cortex-M"):
        with_memory(find("arm"), ram=2**20)


def test_a_network_that_does_not_fit_is_refused_with_the_sums(tmp_path: Path) -> None:
    memory = bundle("tiny", "cortex-m33").manifest["memory"]
    flash, arena = memory["flash_bytes"], memory["arena_bytes"]
    small = with_memory(find("cortex-m33"), flash, arena - 1)
    with pytest.raises(QgaitError, match=re.escape(f"needs {arena:,} bytes of RAM for the arena, 1 more")) as caught:
        write(graph("tiny"), small, tmp_path / "bundle", clips(graph("tiny"), 2, 3))
    assert f"in all it needs {flash:,} of flash and {arena:,} of RAM" in caught.value.problem
    assert "`ram`" in caught.value.fix and list(tmp_path.iterdir()) == []
    check(replace(small, ram_bytes=arena), flash, arena)
    with pytest.raises(QgaitError, match="flash for code and weights"):
        check(small, flash + 1, arena - 1)


def test_the_sum_of_the_flash_is_that_of_the_linked_program() -> None:
    made = bundle("tiny", "cortex-m33")
    program, flash = made.size("gait-run.elf"), made.manifest["memory"]["flash_bytes"]
    assert flash < program < flash + 65_536, "the program adds its own functions, most of them for signatures"
