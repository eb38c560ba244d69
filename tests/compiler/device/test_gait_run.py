"""gait-run: its commands, what it answers to wrong ones, and how it reads broken input."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from compiled_bundles import bundle, clips, flipped, graph

from qgait.runtime.programs import start
from qgait.runtime.reference import Reference

HEAD = b"GAIT" + struct.pack("<HH", 16, 12)
FRAME = 16 * 12


def run(*arguments: str, stdin: bytes = b"", target: str = "host") -> subprocess.CompletedProcess[bytes]:
    made = bundle("tiny", target)
    return subprocess.run([*start(made), str(made.gait_run), *arguments], input=stdin, capture_output=True, timeout=60)


def framed(*given: np.ndarray) -> bytes:
    return HEAD + b"".join(struct.pack("<I", len(clip)) + clip.tobytes() for clip in given)


@pytest.mark.parametrize("target", ["host", "arm", "armv7"])
def test_embed_answers_every_clip(target: str) -> None:
    given = clips(graph("tiny"), 1, 6, 3)
    done = run("embed", stdin=framed(*given), target=target)
    assert done.returncode == 0
    wanted = np.concatenate([codes.ravel() for codes in Reference(graph("tiny")).embed_many(given)])
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.int8), wanted)


def test_embed_waits_for_slow_input() -> None:
    clip = clips(graph("tiny"), 2)[0]
    process = subprocess.Popen(
        [str(bundle("tiny", "host").gait_run), "embed"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None
    data = framed(clip)
    for begin in range(0, len(data), 61):
        process.stdin.write(data[begin : begin + 61])
        time.sleep(0.005)
    out, _ = process.communicate(timeout=30)
    np.testing.assert_array_equal(np.frombuffer(out, np.int8), Reference(graph("tiny")).embed(clip).ravel())


def test_no_clips_give_no_codes() -> None:
    done = run("embed", stdin=HEAD)
    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        (b"", "does not begin with GAIT"),
        (b"GAIT", "does not begin with GAIT"),
        (b"PNG!" + HEAD[4:], "does not begin with GAIT"),
        (b"GAIT" + struct.pack("<HH", 64, 44), "the frames are 64 x 44 pixels and this model takes 16 x 12"),
        (HEAD + b"\1\0", "ends within the frame count of clip 0"),
        (HEAD + bytes(4), "clip 0 has no frames"),
        (HEAD + struct.pack("<I", 2) + bytes(FRAME + 5), "frame 1 of clip 0 has 5 of 192 bytes"),
        (HEAD + struct.pack("<I", 1) + bytes(FRAME) + struct.pack("<I", 9), "frame 0 of clip 1 has 0 of 192 bytes"),
        (HEAD + b"\xff\xff\xff\xff" + bytes(FRAME), "frame 1 of clip 0 has 0 of 192 bytes"),
    ],
)
def test_broken_input_gets_a_sentence(stdin: bytes, sentence: str) -> None:
    done = run("embed", stdin=stdin)
    assert done.returncode == 2
    assert sentence in done.stderr.decode() and done.stderr.startswith(b"gait-run: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fly"], "there is no command fly"),
        (["embed", "x"], "embed takes nothing"),
        (["selftest", "a", "b"], "selftest takes one folder"),
        (["selftest", "/nonexistent"], "there is no self-test clip in /nonexistent"),
        (["bench", "--speed"], "bench has no option --speed"),
        (["bench", "--frames"], "--frames needs a number"),
        (["bench", "--frames", "0"], "--frames needs a number"),
        (["bench", "--runs", "3x"], "--runs needs a number"),
        (["bench", "--frames", "100000", "--runs", "100000"], "at most 1000000 measurements"),
        (["push"], "push takes the number of frames"),
        (["push", "-1"], "push needs a number"),
    ],
)
def test_wrong_arguments_get_a_sentence(arguments: list[str], sentence: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2 and sentence in done.stderr.decode()


def test_help_lists_the_commands() -> None:
    done = run("--help")
    assert done.returncode == 0 and run().returncode == 2
    for command in ("selftest", "bench", "embed", "push", "tiny w8a8, target host"):
        assert command.encode() in done.stdout


def test_bench_prints_times_and_memory() -> None:
    done = run("bench", "--frames", "7", "--runs", "3", "--json")
    facts = json.loads(done.stdout)
    assert set(facts) == {"target", "frame_ms", "embedding_ms", "peak_memory_bytes", "arena_bytes"}
    assert 0 < facts["frame_ms"]["median"] <= facts["frame_ms"]["p95"]
    assert (
        facts["embedding_ms"] > 0 and facts["arena_bytes"] == bundle("tiny", "host").manifest["memory"]["arena_bytes"]
    )
    assert facts["arena_bytes"] < facts["peak_memory_bytes"] < 10_000_000, "its own memory, not that of who started it"
    assert run("bench").stdout.startswith(b"frame ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A self-test folder to change."""
    return Path(shutil.copytree(bundle("tiny", "host").path / "selftest", tmp_path / "selftest"))


def test_the_selftest_of_a_folder(folder: Path) -> None:
    assert run("selftest", str(folder)).returncode == 0


def test_a_wrong_code_is_found_wherever_it_is(folder: Path) -> None:
    codes = folder / "clip1.codes"
    sound = codes.read_bytes()
    parts, channels = bundle("tiny", "host").embedding_shape
    for at in (0, channels + 3, parts * channels - 1):
        codes.write_bytes(flipped(at, 1)(sound))
        done = run("selftest", str(folder))
        assert done.returncode == 1
        said = done.stdout.decode()
        assert f"clip1, 3 frames: part {at // channels}, channel {at % channels} is" in said
        assert f"1 of {parts * channels} codes differ" in said and "FAILED" in said


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("clip0.codes", b"", "clip0.codes is missing or does not hold"),
        ("clip0.codes", bytes(500), "clip0.codes is missing or does not hold"),
        ("clip0.codes", None, "clip0.codes is missing or does not hold"),
        ("clip0.frames", b"", "clip0.frames is empty"),
        ("clip0.frames", bytes(FRAME + 1), "clip0.frames is not a whole number of frames of 192 bytes"),
    ],
)
def test_a_broken_selftest_folder_gets_a_sentence(
    folder: Path, file: str, content: bytes | None, sentence: str
) -> None:
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    done = run("selftest", str(folder))
    assert done.returncode == 2 and sentence in done.stderr.decode()


def test_bench_refuses_when_the_selftest_fails(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle("tiny", "host").path, tmp_path / "b"))
    codes = copy / "selftest" / "clip0.codes"
    codes.write_bytes(flipped(3)(codes.read_bytes()))
    done = subprocess.run([copy / "gait-run", "bench", "--json"], capture_output=True, text=True)
    assert done.returncode == 1 and "FAILED" in done.stdout and "frame_ms" not in done.stdout
