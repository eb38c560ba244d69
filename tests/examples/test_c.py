"""examples/c: built with CMake, and with pkg-config alone, against a bundle that was moved after it was written."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from compiled_bundles import bundle, clips, flipped, graph

from qgait.runtime.reference import Reference

EXAMPLE = Path(__file__).parents[2] / "examples" / "c"


def built_with_cmake(moved: Path, work: Path) -> Path:
    configure = ["cmake", "-S", str(EXAMPLE), "-B", str(work / "build"), f"-DBUNDLE={moved}"]
    subprocess.run(configure, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(work / "build")], check=True, capture_output=True)
    return work / "build" / "embed"


def built_with_pkg_config(moved: Path, work: Path) -> Path:
    asked = ["pkg-config", "--cflags", "--libs", "gait"]
    told = subprocess.run(
        asked, env=os.environ | {"PKG_CONFIG_PATH": str(moved)}, check=True, capture_output=True, text=True
    )
    strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    out = work / "embed"
    subprocess.run(["cc", *strict, str(EXAMPLE / "embed.c"), *shlex.split(told.stdout), "-o", str(out)], check=True)
    return out


@pytest.fixture(scope="module", params=[built_with_cmake, built_with_pkg_config])
def embed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program; beside it the folder ``bundle``."""
    work = tmp_path_factory.mktemp("example")
    moved = Path(shutil.copytree(bundle("tiny", "host").path, work / "bundle"))
    program: Path = request.param(moved, work)
    return program


def run(program: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True)


def test_the_codes_of_the_self_test_are_equal(embed: Path, tmp_path: Path) -> None:
    selftest = bundle("tiny", "host").path / "selftest"
    assert run(embed, selftest / "clip0.frames", selftest / "clip0.codes").returncode == 0
    wrong = tmp_path / "codes"
    wrong.write_bytes(flipped(5)((selftest / "clip0.codes").read_bytes()))
    assert run(embed, selftest / "clip0.frames", wrong).returncode == 1


def test_it_prints_the_embedding(embed: Path, tmp_path: Path) -> None:
    clip = clips(graph("tiny"), 4)[0]
    (tmp_path / "clip").write_bytes(clip.tobytes())
    rows = [line.split(":") for line in run(embed, tmp_path / "clip").stdout.splitlines()]
    codes = np.array([row[1].split() for row in rows], np.int64) + bundle("tiny", "host").zero_point
    np.testing.assert_array_equal(codes, Reference(graph("tiny")).embed(clip))


def test_bad_input_gets_a_sentence(embed: Path, tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(bytes(16 * 12 + 1))
    (tmp_path / "none").write_bytes(b"")
    for file, sentence in (
        ("odd", "is not a whole number of frames"),
        ("none", "has no frame"),
        ("missing", "cannot be"),
    ):
        done = run(embed, tmp_path / file)
        assert done.returncode == 2 and sentence in done.stderr
