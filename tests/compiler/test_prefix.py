"""Bundles with a prefix of their own: several in one program, and everything else that a bundle can do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from compiled_bundles import bundle, clips, graph
from example_graphs import gaitset_graph, tiny_graph
from laid_out_segments import plan_of

from qgait.cli import run
from qgait.compiler.bundle import write
from qgait.compiler.device import DEVICE
from qgait.compiler.link import Linker, zig_command
from qgait.compiler.npu_bundle import write as write_for_npu
from qgait.errors import QgaitError
from qgait.export.onnx.writer import write as write_onnx
from qgait.runtime.benchmark import bench
from qgait.runtime.bundle import Bundle
from qgait.runtime.bundle_manifest import read_manifest, sign
from qgait.runtime.compiled import Compiled, Stream
from qgait.runtime.programs import command_of
from qgait.runtime.reference import Reference
from qgait.runtime.selftest import selftest
from qgait.targets import elf
from qgait.targets.processors import find
from qgait.verification.proof import prove

TWO = (("tiny", "front"), ("temporal", "side"))

# pushes to both in turn, so that whatever they shared would be seen
PROGRAM = """
#include "front.h"
#include "side.h"
#include "system.h"

#define NETWORK(name, NAME)                                                                                        \\
    static uint8_t name##_arena[NAME##_ARENA_BYTES], name##_frame[NAME##_FRAME_BYTES];                             \\
    static int8_t name##_codes[NAME##_EMBEDDING_BYTES], name##_expected[NAME##_EMBEDDING_BYTES];                   \\
    static int name##_takes(int frames)                                                                            \\
    {                                                                                                              \\
        if (read_file(frames, name##_frame, sizeof name##_frame) != sizeof name##_frame)                           \\
            return 0;                                                                                              \\
        if (name##_push(name##_arena, name##_frame) != NAME##_OK)                                                  \\
            refuse(#name "_push failed.");                                                                         \\
        return 1;                                                                                                  \\
    }                                                                                                              \\
    static int name##_differs(int codes)                                                                           \\
    {                                                                                                              \\
        int different = 0;                                                                                         \\
        if (name##_embedding(name##_arena, name##_codes) != NAME##_OK)                                             \\
            refuse(#name "_embedding failed.");                                                                    \\
        if (read_file(codes, name##_expected, sizeof name##_expected) != sizeof name##_expected)                   \\
            refuse("there are no codes of " #name ".");                                                            \\
        for (unsigned i = 0; i < sizeof name##_codes; i++)                                                         \\
            different += name##_codes[i] != name##_expected[i];                                                    \\
        return different;                                                                                          \\
    }
NETWORK(front, FRONT)
NETWORK(side, SIDE)

int main(void)
{
    int front = open_file("front.frames"), side = open_file("side.frames");
    front_reset(front_arena);
    side_reset(side_arena);
    while (front_takes(front) | side_takes(side))
        ;
    int different[] = {front_differs(open_file("front.codes")), side_differs(open_file("side.codes"))};
    say("%d %d\\n", different[0], different[1]);
    return different[0] + different[1] != 0;
}
"""


def both(target: str) -> list[Bundle]:
    return [bundle(name, target, prefix=prefix) for name, prefix in TWO]


def linked(target: str, folder: Path) -> list[str]:
    """The command that runs ``PROGRAM`` with two bundles, whose self-tests lie beside it."""
    made, app = both(target), folder / "app"
    (folder / "main.c").write_text(PROGRAM)
    for one in made:
        for kind in ("frames", "codes"):
            shutil.copyfile(one.path / "selftest" / f"clip1.{kind}", folder / f"{one.names.prefix}.{kind}")
        shutil.copyfile(one.path / one.names.header, folder / one.names.header)
    archives = [one.path / one.names.archive for one in made]
    if made[0].target.bare_metal:
        Linker(find(target), folder).bare_program([folder / "main.c"], archives, folder, app)
    else:
        sources = [folder / "main.c", DEVICE / "system_posix.c"]
        flags = ["-std=gnu11", "-O2", "-static", f"-I{folder}", f"-I{DEVICE}"]
        command = [*zig_command(), "cc", *find(target).zig_flags, *flags, *map(str, [*sources, *archives])]
        subprocess.run([*command, "-o", str(app)], check=True)
    return command_of(find(target), app)


@pytest.mark.parametrize("target", ["host", "cortex-m33"])
def test_one_program_has_two_networks(target: str, tmp_path: Path) -> None:
    command = linked(target, tmp_path)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "0 0")
    codes = np.fromfile(tmp_path / "side.codes", np.int8)
    codes[3] ^= 1
    codes.tofile(tmp_path / "side.codes")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "0 1")


def defined(made: Bundle, folder: Path) -> set[str]:
    """Global symbols of a bundle's archive; TVM adds two weak ones, of which a linker takes any."""
    folder.mkdir()
    subprocess.run([*zig_command(), "ar", "x", str(made.path / made.names.archive)], cwd=folder, check=True)
    symbols = [symbol for file in folder.glob("*.o") for symbol in elf.symbols(file.read_bytes())]
    return {symbol.name for symbol in symbols if symbol.defined and symbol.is_global} - {
        "__extendhfsf2",
        "__truncsfhf2",
    }


@pytest.mark.parametrize("target", ["host", "cortex-m33"])
def test_every_global_symbol_begins_with_the_prefix(target: str, tmp_path: Path) -> None:
    for made in both(target):
        found = defined(made, tmp_path / made.names.prefix)
        assert {*made.names.calls, f"{made.names.prefix}_weights"} < found
        assert all(name.startswith(f"{made.names.prefix}_") for name in found)


def test_the_header_says_nothing_of_the_default_prefix() -> None:
    front, gait = bundle("tiny", "host", prefix="front"), bundle("tiny", "host")
    text = (front.path / "front.h").read_text()
    assert not re.search(r"\bgait_|GAIT_", text)
    assert text.replace("FRONT_", "GAIT_").replace("front_", "gait_") == (gait.path / "gait.h").read_text()


def test_a_bundle_with_a_prefix_runs_and_is_measured() -> None:
    made = bundle("tiny", "host", trace=True, prefix="front")
    files = {"front.h", "front.pc", "libfront.a", "libfront.so", "front-run", "debug/front-trace"}
    assert files == {name for name in made.manifest["files"] if not name.startswith("selftest/")}
    assert selftest(made).clips == 2
    clip = clips(graph("tiny"), 4)[0]
    wanted = Reference(graph("tiny")).embed(clip)
    np.testing.assert_array_equal(Compiled(made).embed(clip), wanted)
    np.testing.assert_array_equal(Stream(made).embed(clip), wanted)
    assert Compiled(made).trace(clip).keys() == Compiled(bundle("tiny", "host", trace=True)).trace(clip).keys()
    assert bench(made, options=("--frames", "2", "--runs", "1")).model_bytes == made.size("libfront.so")
    help_ = subprocess.run([str(made.gait_run), "--help"], capture_output=True, text=True).stdout
    assert "front-run selftest" in help_ and "gait" not in help_.replace("qgait", "")


def test_a_bundle_with_a_prefix_runs_under_qemu() -> None:
    clip = clips(graph("temporal"), 4)[0]
    made = bundle("temporal", "cortex-m33", prefix="side")
    assert made.gait_run.name == "side-run.elf"
    np.testing.assert_array_equal(Compiled(made).embed(clip), Reference(graph("temporal")).embed(clip))


def test_beside_an_npu_too(tmp_path: Path) -> None:
    plan = plan_of(tiny_graph(), "ethos-u85-256", find("cortex-m55"))
    made = write_for_npu(plan, tmp_path / "bundle", clips(plan.graph, 3, 2), prefix="front")
    assert {"libfront.a", "front.h", "npu_driver.h", "npu_ethosu.c"} <= set(made.manifest["files"])
    assert "FRONT_NPU_FAST_BYTES" in (made.path / "front.h").read_text()
    assert all(name.startswith("front_") for name in defined(made, tmp_path / "objects"))
    assert prove(made, plan).emulated


def test_a_bundle_from_before_prefixes_has_the_default(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle("tiny", "host").path, tmp_path / "b"))
    manifest = read_manifest(folder)
    del manifest["prefix"], manifest["checksum"]
    sign(folder, manifest)
    opened = Bundle.open(folder)
    assert opened.names.prefix == "gait" and selftest(opened).clips == 2


@pytest.mark.parametrize("prefix", ["", "2d", "my-gait", "_x", "a b", "größe", "../x"])
def test_what_c_cannot_call_so_is_refused(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="cannot begin the name of a C function"):
        write(graph("tiny"), find("host"), tmp_path / "out", clips(graph("tiny"), 1, 2), prefix=prefix)


@pytest.mark.parametrize("prefix", ["stdint", "c", "npu_driver", "String"])
def test_what_would_hide_another_file_is_refused(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match="would hide a file of that name"):
        write(graph("tiny"), find("host"), tmp_path / "out", clips(graph("tiny"), 1, 2), prefix=prefix)


def test_the_command_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_onnx(gaitset_graph(channels=(2, 3, 4)), tmp_path / "small.onnx")
    asked = ["compile", str(tmp_path / "small.onnx"), "--target", "host", "--out", str(tmp_path / "out")]
    assert run([*asked, "--prefix", "my gait"]) == 2
    assert "cannot begin the name of a C function" in capsys.readouterr().err
    facts = tmp_path / "facts.json"
    assert run([*asked, "--prefix", "lobby", "--json", str(facts)]) == 0
    assert json.loads(facts.read_text())["selftest"] == "passed"
    assert (tmp_path / "out" / "lobby-run").is_file() and Bundle.open(tmp_path / "out").names.prefix == "lobby"
