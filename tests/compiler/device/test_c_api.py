"""The examples of docs/targets.md, compiled and run: a C program on every processor, and the Python lines."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compiled_bundles import bundle, clips, graph

from qgait.compiler.link import Linker
from qgait.runtime.bundle import Bundle
from qgait.runtime.programs import start
from qgait.runtime.reference import Reference
from qgait.targets.qemu_system import emulator, system_command

PAGE = (Path(__file__).parents[3] / "docs" / "targets.md").read_text()
STRICT = ["-O2", "-Wall", "-Wextra", "-pedantic", "-Werror"]


def example(language: str, containing: str) -> str:
    found = [code for code in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if containing in code]
    assert len(found) == 1
    return str(found[0])


def zig(made: Bundle, folder: Path, compiler: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "ziglang", compiler, "-target", made.target.zig_target, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def compile_c(source: str, target: str, folder: Path, standard: str = "c99") -> Path:
    made = bundle("tiny", target)
    (folder / "app.c").write_text(source)
    library = str(made.path / "libgait.a")
    zig(made, folder, "cc", "-static", f"-std={standard}", *STRICT, f"-I{made.path}", "app.c", library, "-o", "app")
    return folder / "app"


@pytest.mark.parametrize("target", ["host", "arm", "armv7"])
def test_the_c_example_prints_the_embedding(target: str, tmp_path: Path) -> None:
    app = compile_c(example("c", "int main"), target, tmp_path)
    clip = clips(graph("tiny"), 4)[0]
    done = subprocess.run([*start(bundle("tiny", target)), str(app)], input=clip.tobytes(), capture_output=True)
    assert done.returncode == 0
    rows = [line.split(":") for line in done.stdout.decode().splitlines()]
    embedding = graph("tiny").tensors[graph("tiny").output]
    codes = np.array([row[1].split() for row in rows], np.int64) + embedding.zero_point
    np.testing.assert_array_equal(codes, Reference(graph("tiny")).embed(clip))
    np.testing.assert_allclose([float(row[0]) for row in rows], bundle("tiny", target).scale, rtol=1e-5)


def test_the_c_example_without_frames_says_so(tmp_path: Path) -> None:
    app = compile_c(example("c", "int main"), "host", tmp_path)
    done = subprocess.run([str(app)], input=b"", capture_output=True)
    assert (done.returncode, done.stderr) == (1, b"there was no frame\n")


def test_the_prototypes_in_the_page_are_those_of_the_header() -> None:
    header = (bundle("tiny", "host").path / "gait.h").read_text()
    page = example("c", "gait_arena_size(void)")
    names = r"\w+ +gait_\w+\([^)]*\)"
    declared = [" ".join(found.split()) for found in re.findall(names, header)]
    listed = [" ".join(found.split()) for found in re.findall(names, page)]
    assert len(listed) == 4
    assert set(listed) <= set(declared)


def test_the_header_is_cplusplus_and_tells_the_truth(tmp_path: Path) -> None:
    made = bundle("tiny", "host")
    scales = ", ".join(f"{scale:.9e}f" for scale in made.scale)
    program = f"""
#include "gait.h"
int main()
{{
    static const float scales[GAIT_PARTS] = GAIT_SCALES, wanted[] = {{{scales}}};
    for (int i = 0; i < GAIT_PARTS; i++)
        if (scales[i] != wanted[i])
            return 1;
    if (gait_arena_size() != GAIT_ARENA_BYTES || GAIT_ARENA_BYTES != {made.manifest["memory"]["arena_bytes"]})
        return 2;
    if (GAIT_FRAME_HEIGHT != 16 || GAIT_FRAME_WIDTH != 12 || GAIT_PARTS != {made.embedding_shape[0]})
        return 3;
    return GAIT_CHANNELS == {made.embedding_shape[1]} && GAIT_FRAME_MACS == {made.manifest["macs"]["frame"]} ? 0 : 4;
}}
"""
    (tmp_path / "app.cpp").write_text(program)
    zig(made, tmp_path, "c++", "-std=c++11", *STRICT, f"-I{made.path}", "-c", "app.cpp", "-o", "app.o")
    zig(made, tmp_path, "cc", "-O2", "-static", "app.o", str(made.path / "libgait.a"), "-o", "app")
    assert subprocess.run([str(tmp_path / "app")]).returncode == 0


def test_the_library_links_with_gcc_for_arm(tmp_path: Path) -> None:
    (tmp_path / "app.c").write_text(example("c", "int main"))
    made = bundle("tiny", "arm")
    command = ["aarch64-linux-gnu-gcc", "-O2", "-static", f"-I{made.path}", "app.c", str(made.path / "libgait.a")]
    subprocess.run([*command, "-o", "app"], cwd=tmp_path, check=True)
    clip = clips(graph("tiny"), 2)[0]
    done = subprocess.run([*start(made), str(tmp_path / "app")], input=clip.tobytes(), capture_output=True, check=True)
    codes = np.array([line.split(":")[1].split() for line in done.stdout.decode().splitlines()], np.int64)
    zero_point = graph("tiny").tensors[graph("tiny").output].zero_point
    np.testing.assert_array_equal(codes + zero_point, Reference(graph("tiny")).embed(clip))


FIRMWARE_MAIN = """
#include "gait.h"
#include "system.h"
void walker_appears(void);
int walker_moves(const uint8_t *silhouette);
float walker_resembles(const int8_t *person);
int main(void)
{
    static uint8_t frame[GAIT_FRAME_BYTES];
    static int8_t person[GAIT_EMBEDDING_BYTES];
    float answers[2];
    int file = open_file("person");
    if (read_file(file, person, sizeof person) != sizeof person)
        return 3;
    walker_appears();
    answers[0] = walker_resembles(person);
    file = open_file("clip");
    while (read_file(file, frame, sizeof frame) == sizeof frame)
        if (walker_moves(frame) != GAIT_OK)
            return 4;
    answers[1] = walker_resembles(person);
    open_streams("clip", "answers");
    put(answers, sizeof answers);
    close_streams();
    return 0;
}
"""


@pytest.mark.parametrize("target", ["cortex-m55", "cortex-m33"])
def test_the_firmware_example_tells_walkers_apart(target: str, tmp_path: Path) -> None:
    made = bundle("tiny", target)
    (tmp_path / "walker.c").write_text(example("c", "walker_appears"))
    (tmp_path / "main.c").write_text(FIRMWARE_MAIN)
    processor = [f"-mcpu={made.target.zig_cpu}", "-ffreestanding"]
    zig(made, tmp_path, "cc", *processor, *STRICT, "-std=c99", f"-I{made.path}", "-c", "walker.c", "-o", "strict.o")
    sources = [tmp_path / "walker.c", tmp_path / "main.c"]
    Linker(made.target, tmp_path).bare_program(sources, [made.path / "libgait.a"], made.path, tmp_path / "app")
    same, other = clips(graph("tiny"), 4, 3)
    codes, others = Reference(graph("tiny")).embed_many([same, other])
    gap = (codes.astype(np.int64) - others) ** 2 @ np.ones(codes.shape[1], np.int64)
    for person, distance in ((codes, 0.0), (others, float(gap @ made.scale.astype(np.float64) ** 2))):
        (tmp_path / "clip").write_bytes(same.tobytes())
        (tmp_path / "person").write_bytes(person.tobytes())
        subprocess.run(system_command(emulator(made.target), tmp_path / "app", []), cwd=tmp_path, check=True)
        before, answer = np.fromfile(tmp_path / "answers", np.float32)
        assert before == -1
        np.testing.assert_allclose(answer, distance, rtol=1e-5)
    assert answer > 0


def test_the_python_example_runs() -> None:
    clip = clips(graph("tiny"), 3)[0]
    names = {"clip": clip, "frame": clip[0]}
    source = example("python", "bundle.stream()").replace('"BUNDLE"', repr(str(bundle("tiny", "host").path)))
    exec(compile(source, "docs/targets.md", "exec"), names)
    np.testing.assert_array_equal(names["codes"], Reference(graph("tiny")).embed(clip[:1]))
